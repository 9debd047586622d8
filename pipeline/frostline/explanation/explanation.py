"""What an explanation says, as values: the step split into parts, and the reasons for the speedup.

Every time is in integer nanoseconds per unprofiled training step. The parts add up exactly: their
`baseline_ns` to the baseline's step, their `trial_ns` to the trial's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from frostline.analyse import Verdict
from frostline.explanation.memory import MemoryShare
from frostline.notebook import html_table, html_text, one_line
from frostline.words import DASH, duration_ns, floor, ratio_with_interval, signed_ns

PartKind = Literal[
    "forward",
    "dx_pruned", "dx_through", "dx_trainable", "dx_elsewhere",
    "dw_frozen", "dw_trainable", "dw_elsewhere",
    "update", "communication", "input", "other", "waiting",
]  # fmt: skip

PART_LABELS: dict[PartKind, str] = {
    "forward": "forward pass",
    "dx_pruned": "dX in frozen layers, no longer needed",
    "dx_through": "dX through frozen layers",
    "dx_trainable": "dX of layers that train",
    "dx_elsewhere": "dX outside of layers",
    "dw_frozen": "dW of frozen layers",
    "dw_trainable": "dW of layers that train",
    "dw_elsewhere": "dW outside of layers",
    "update": "optimizer's update",
    "communication": "communication",
    "input": "input",
    "other": "not attributed",
    "waiting": "device waits",
}

ReasonKind = Literal[
    "failed", "too_noisy", "freeze_without_effect", "control", "within_noise", "no_trace",
    "runs_eagerly", "no_baseline_profile", "waiting_not_recorded", "backward_ends",
    "gradients_changed",
    "weight_gradients_gone", "update_large", "update_small", "norms_in_inference",
    "forward_changed", "waiting_changed", "gradient_flows_through", "still_trains",
    "forward_dominates", "communication", "input_bound", "host_bound", "device_waits",
    "unattributed", "lora_full_product", "lora_low_rank", "recomputed", "update_changed",
]  # fmt: skip

Effect = Literal["verdict", "saved", "remains", "unknown"]
"""What a reason is about: `saved`, a change that freezing made; `remains`, time that the trial's
step still takes; `verdict`, what the speedup is worth; `unknown`, what the tables cannot tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the step, in the baseline and in the trial.

    Attributes:
        kind: which.
        baseline_ns: None without a profile of the baseline.
        trial_ns: None without a profile of the trial.
        spread_ns: the most that a control's profile differs from the mean of the controls; None
            with fewer than two controls.
    """

    kind: PartKind
    baseline_ns: int | None
    trial_ns: int | None
    spread_ns: int | None

    @property
    def saved_ns(self) -> int | None:
        """Baseline minus trial; negative where the trial takes longer."""
        if self.baseline_ns is None or self.trial_ns is None:
            return None
        return self.baseline_ns - self.trial_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A number or name that a reason is derived from.

    Attributes:
        name: of the quantity.
        value: the number, or a name.
        unit: `ns`, `1` (a ratio), `layers`; `` for names.
    """

    name: str
    value: int | float | str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One named reason; docs/explain.md states the rule of each.

    Attributes:
        kind: its name.
        effect: what it is about.
        share_ns: nanoseconds per step; positive where time is saved, or remains. None where the
            reason has no time.
        text: the reason in words.
        figures: the quantities that it is derived from.
        advice: what to do about it; `` where there is nothing to do.
    """

    kind: ReasonKind
    effect: Effect
    share_ns: int | None = None
    text: str
    figures: tuple[Quantity, ...] = ()
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardAlone:
    """The speedup that freezing could reach, from the baseline's profile.

    Attributes:
        speedup: 1 + (B + U) / F: only the forward pass is left, as it is in the baseline.
        with_rest: the speedup with input, unattributed time and waiting that belongs to no pass
            kept as well, which a whole step could reach if freezing changed only gradients and
            updates.
        forward_ns, gradients_ns, update_ns: F, B (dX and dW), U, each with what the device waits
            for its ops, where that is known; communication counts with the pass that it belongs to.
        controls: ids of the controls that were profiled.
    """

    speedup: float
    with_rest: float
    forward_ns: int
    gradients_ns: int
    update_ns: int
    controls: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where a trial's time went, and why it is or is not faster.

    Attributes:
        trial_id, policy: which trial; a control's policy carries its number.
        setting: model and training setting, in words.
        status: `ok` or `failed`.
        device_kind: None where it never reached a device.
        frozen_layers: number of frozen layers.
        layers: number of all layers; None where they are not known.
        frozen_fraction: frozen parameters / parameters trainable in the baseline.
        trains_from, trains_from_number: the first layer that still trains, and its number, from 1
            at the input; None where it is not known.
        verdict: what the speedup is worth against the noise floor.
        speedup, speedup_low, speedup_high: with the 95% interval.
        noise_floor: over all controls of the model and setting.
        forward_alone: None without a profile of the baseline on the same kind of device.
        profiled_controls: controls whose profiles the baseline's parts are the mean of.
        baseline_step_ns: median of the baseline beside the trial.
        step_ns: `baseline_step_ns / speedup`, which does not change with the machine's drift.
        median_step_ns: the plain median of the trial's samples.
        parts: all of the step; empty without any profile. Parts without any time are left out.
        reasons: verdicts first, then what was saved, what remains, what is not known; each by
            share.
        warnings: legal findings of the trial's own checks.
        memory: what holds the memory at the peak; None where that is not known.
        log_path, trace_path: relative to OUT; None where there is none.
    """

    trial_id: str
    policy: str
    setting: str
    status: Literal["ok", "failed"]
    device_kind: str | None
    frozen_layers: int
    layers: int | None
    frozen_fraction: float | None
    trains_from: str | None
    trains_from_number: int | None
    verdict: Verdict | None
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None
    noise_floor: float | None
    forward_alone: ForwardAlone | None
    profiled_controls: int
    baseline_step_ns: int | None
    step_ns: int | None
    median_step_ns: int | None
    parts: tuple[Part, ...]
    reasons: tuple[Reason, ...]
    warnings: tuple[str, ...]
    log_path: str | None
    trace_path: str | None
    memory: MemoryShare | None = None

    def __repr__(self) -> str:
        reasons = ", ".join(reason.kind for reason in self.reasons) or "none"
        return one_line(
            "Explanation", f"{self.policy} ({self.trial_id})", self._facts() | {"reasons": reasons}
        )

    def _repr_html_(self) -> str:
        facts = "; ".join(f"{name} {value}" for name, value in self._facts().items())
        parts = [
            (
                PART_LABELS[part.kind],
                _time(part.baseline_ns),
                _time(part.trial_ns),
                DASH if part.saved_ns is None else signed_ns(part.saved_ns),
            )
            for part in self.parts
        ]
        reasons = [(_share(one), one.effect, one.text, one.advice) for one in self.reasons]
        return "".join(
            [
                html_text(f"{self.policy} ({self.trial_id}), {self.setting}: {facts}"),
                html_table(("step", "baseline", "trial", "saved"), parts),
                html_table(("share", "of", "reason", "advice"), reasons, words=(1, 2, 3)),
            ]
        )

    def _facts(self) -> dict[str, str]:
        speedup = ratio_with_interval(self.speedup, self.speedup_low, self.speedup_high)
        return {
            "speedup": speedup,
            "verdict": self.verdict or self.status,
            "noise floor": floor(self.noise_floor),
        }

    def reason(self, kind: ReasonKind) -> Reason | None:
        """The reason of that name, if it holds."""
        return next((reason for reason in self.reasons if reason.kind == kind), None)


def _time(ns: int | None) -> str:
    return DASH if ns is None else duration_ns(ns)


def _share(reason: Reason) -> str:
    """A reason's time; with a sign where it is a change."""
    if reason.share_ns is None or reason.effect == "remains":
        return _time(reason.share_ns)
    return signed_ns(reason.share_ns)
