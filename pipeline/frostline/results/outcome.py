"""The figures of a finished trial that a progress display shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from frostline.results.rows import TrialRun, error_message, noise_of
from frostline.trial import Trial

LEASE_LOST = "LeaseLost"
"""`trials.error_type` of a failure that was not the trial's own; a resumed sweep tries it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """The baseline that a trial was measured beside.

    Attributes:
        step_ns: its median step.
        device_kind: what both ran on; steps on two kinds of device say nothing about each other.
    """

    step_ns: int
    device_kind: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOutcome:
    """A committed trial, as far as a progress display needs it; all of its rows are in OUT.

    Attributes:
        attempts: how often it was started.
        speedup, speedup_low, speedup_high: None where the trial failed.
        error_stage: where it failed; `profile` on an `ok` trial that left no usable trace.
        seconds: wall time by phase, as in the `trials` table; `store` is the publication.
        noise: a control's noise (`frostline.results.rows.noise_of`); None for other trials.
        beside: the baseline that it was measured beside; None where that is not known here.
        earlier: True when it was found committed after its lease was lost; the numbers are then
            in OUT only.
        again: True when it was committed before, and then measured again.
    """

    trial_id: str
    model: str
    policy: str
    status: Literal["ok", "failed"]
    attempts: int
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    noise: float | None = None
    beside: Beside | None = None
    error_stage: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    earlier: bool = False
    again: bool = False


def outcome_of(run: TrialRun, *, store_s: float) -> TrialOutcome:
    """The outcome of a committed trial, whose publication took `store_s` seconds."""
    measured, failure = run.measured, run.failure
    seconds = dict(measured.seconds) if measured is not None else {}
    if run.convert_s is not None:
        seconds["convert"] = run.convert_s
    return TrialOutcome(
        trial_id=run.trial.trial_id,
        model=run.trial.model.name,
        policy=run.trial.policy,
        status=run.status,
        attempts=run.attempts,
        speedup=measured.speedup if measured is not None else None,
        speedup_low=measured.speedup_low if measured is not None else None,
        speedup_high=measured.speedup_high if measured is not None else None,
        noise=noise_of(measured) if measured is not None and run.trial.is_control else None,
        beside=_beside(run),
        error_stage=failure.stage if failure is not None else None,
        error_type=failure.kind if failure is not None else None,
        error_message=error_message(run),
        seconds={**seconds, "total": run.duration_s, "store": store_s},
    )


def _beside(run: TrialRun) -> Beside | None:
    if run.measured is None:
        return None
    return Beside(step_ns=run.measured.baseline_step_ns, device_kind=run.device_kind)


def found_committed(trial: Trial, *, ok: bool, attempts: int) -> TrialOutcome:
    """The outcome of a trial whose commit was found after its lease was lost."""
    return TrialOutcome(
        trial_id=trial.trial_id,
        model=trial.model.name,
        policy=trial.policy,
        status="ok" if ok else "failed",
        attempts=attempts,
        earlier=True,
    )
