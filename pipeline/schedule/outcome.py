"""From a finished trial to what its progress display shows."""

from __future__ import annotations

from pipeline.rows import TrialRun, noise_of
from pipeline.schedule.events import TrialOutcome
from pipeline.trials import Trial


def outcome_of(run: TrialRun, *, store_s: float) -> TrialOutcome:
    """The outcome of a committed trial.

    Args:
        run: what became its rows.
        store_s: seconds that publishing them took.
    """
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
        error_stage=failure.stage if failure is not None else None,
        error_type=failure.kind if failure is not None else None,
        error_message=failure.message if failure is not None else None,
        seconds={**seconds, "total": run.duration_s, "store": store_s},
    )


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
