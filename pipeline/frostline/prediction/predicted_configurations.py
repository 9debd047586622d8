"""Predicted configurations of one model under one setting.

In: a group with its cost model, and policies. Out: an answer for each configuration that they stand
for, measured or not, with the error of predictions on held-out configurations. Refuses text that is
no policy, policies that do not fit the model, and configurations that no anchor shows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from frostline.analyse.groups import noise_floor
from frostline.billing.bill import Amount, Bill, bill_document
from frostline.billing.run import Run
from frostline.costmodel.held_out import HeldOutError, held_out_error
from frostline.policies import (
    ExpandedPolicy,
    Granularity,
    Policy,
    anchors,
    earliest_trainable,
    expand,
    frozen_layers,
)
from frostline.prediction.bills import Billing, billing_of
from frostline.prediction.fitted_groups import PredictedGroup
from frostline.prediction.interval import spread
from frostline.trial import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A predicted configuration of one model under one setting.

    Attributes:
        model: the model's name in the study.
        variant: the variant's name; None: the plain model.
        policy: the expanded policy.
        frozen_layers: layers with nothing left to train.
        predicted_speedup: baseline / configuration, both by the cost model.
        low, high: interval in which a measured speedup would lie, see
            `frostline.prediction.interval`; None where too few configurations were held out.
        setting: the training setting.
        device_kind: what the sweep measured this on; None where it is not known.
        frozen_fraction: frozen / trainable parameters.
        earliest_trainable_layer: index of the first layer that still trains.
        baseline_step_ns: median of the baselines that were measured under this setting.
        predicted_step_ns: `baseline_step_ns` / `predicted_speedup`.
        measured_speedup: median over the trials of this configuration; None where there is none.
        is_anchor: the prediction is made from this configuration, so it is no evidence.
        held_out_error: mean of |predicted / measured - 1| over the held-out configurations; None
            where there is none.
        held_out: number of held-out configurations.
        noise_floor: over the controls; None where none was measured.
        predicted_peak_bytes: predicted device memory at most; None where nothing can say it.
        unknown_tensors: how many tensors count as 0 in it, because their size is not known; None
            likewise.
        measured_peak_bytes: median over the trials of this configuration; None where there is none.
        bill: what the run takes in this configuration; None where no run is described.
        billing: what the bill rests on, the baseline's bill included; None likewise.
    """

    model: str
    variant: str | None
    policy: str
    frozen_layers: tuple[str, ...]
    predicted_speedup: float
    low: float | None
    high: float | None
    setting: Setting
    device_kind: str | None
    frozen_fraction: float
    earliest_trainable_layer: int
    baseline_step_ns: int | None
    predicted_step_ns: int | None
    measured_speedup: float | None
    is_anchor: bool
    held_out_error: float | None
    held_out: int
    noise_floor: float | None
    predicted_peak_bytes: int | None
    unknown_tensors: int | None
    measured_peak_bytes: int | None
    bill: Bill | None = None
    billing: Billing | None = None

    def document(self) -> dict[str, object]:
        """The answer for JSON, flat: the setting's axes and the bill are among the other values."""
        values = asdict(self)
        setting = values.pop("setting")
        del values["bill"], values["billing"]
        return {**values, **setting, **self.bill_document()}

    def bill_document(self) -> dict[str, object]:
        """The bill for JSON; every value is null where no run is described."""
        base = bill_document(self.billing.baseline if self.billing else None)
        power = self.billing.power if self.billing else None
        return {
            **bill_document(self.bill),
            "kwh_error": power.error.mean_abs if power and power.error else None,
            **{f"baseline_{name}": base[name] for name in ("hours", "kwh", "cost")},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFigures:
    """Figures that all answers about a group share.

    Attributes:
        error: over its held-out configurations; None where there is none.
        spread: see `frostline.prediction.interval`.
        noise_floor: over its controls.
        baseline_step_ns: median of its baselines.
        measured: median speedup by frozen variables.
        measured_peaks: median measured peak by frozen variables, in bytes.
        anchors: frozen variables of each anchor.
        billing: what its bills share; None where no run is described.
    """

    error: HeldOutError | None
    spread: float | None
    noise_floor: float | None
    baseline_step_ns: int | None
    measured: Mapping[frozenset[str], float]
    measured_peaks: Mapping[frozenset[str], int]
    anchors: frozenset[frozenset[str]]
    billing: Billing | None

    @staticmethod
    def of(group: PredictedGroup, run: Run | None = None) -> GroupFigures:
        """Compare a group's predictions with its measurements.

        `run` has examples and epochs; None: no bills.
        """
        speedups: dict[frozenset[str], list[float]] = defaultdict(list)
        peaks: dict[frozenset[str], list[int]] = defaultdict(list)
        for row in group.rows:
            if row.speedup is not None:
                speedups[frozenset(row.frozen_variables)].append(row.speedup)
            if row.peak_memory_bytes is not None:
                peaks[frozenset(row.frozen_variables)].append(row.peak_memory_bytes)
        judged = group.judged()
        floor = noise_floor(group.controls)
        base_ns = group.baseline_step_ns
        baseline_step_ns = None if base_ns is None else round(base_ns)
        return GroupFigures(
            error=held_out_error(judged),
            spread=spread([each.error for each in judged]),
            noise_floor=floor,
            baseline_step_ns=baseline_step_ns,
            measured_peaks={frozen: round(median(found)) for frozen, found in peaks.items()},
            measured={frozen: median(found) for frozen, found in speedups.items()},
            anchors=frozenset(anchor.frozen_variables for anchor in anchors(group.facts)),
            billing=billing_of(group, run, baseline_step_ns=baseline_step_ns, floor=floor),
        )


def answered(group: PredictedGroup, figures: GroupFigures, expanded: ExpandedPolicy) -> Answer:
    """Predict one configuration.

    Raises:
        UsageError: an anchor that is needed was not measured.
    """
    key, facts, frozen = group.key, group.facts, expanded.frozen_variables
    peak = group.peak(frozen)
    speedup = group.model.speedup(frozen)
    layers = frozen_layers(facts, frozen)
    frozen_params = sum(each.params for each in facts.variables if each.path in frozen)
    base_ns, error, billing = figures.baseline_step_ns, figures.error, figures.billing
    interval = Amount(value=speedup).within(figures.spread)
    return Answer(
        model=key.model,
        variant=key.variant,
        policy=expanded.policy,
        frozen_layers=layers,
        predicted_speedup=speedup,
        low=interval.low,
        high=interval.high,
        setting=key.setting,
        device_kind=group.device_kind,
        frozen_fraction=frozen_params / facts.total_params,
        earliest_trainable_layer=earliest_trainable(facts, layers),
        baseline_step_ns=base_ns,
        predicted_step_ns=round(base_ns / speedup) if base_ns else None,
        measured_speedup=figures.measured.get(frozen),
        is_anchor=frozen in figures.anchors,
        held_out_error=error.mean_abs if error else None,
        held_out=error.count if error else 0,
        noise_floor=figures.noise_floor,
        predicted_peak_bytes=None if peak is None else peak.total,
        unknown_tensors=None if peak is None else peak.unknown,
        measured_peak_bytes=figures.measured_peaks.get(frozen),
        bill=billing.predicted(interval) if billing else None,
        billing=billing,
    )


def answer(
    group: PredictedGroup,
    policies: Sequence[Policy],
    *,
    granularity: Granularity,
    seed: int,
    run: Run | None = None,
) -> list[Answer]:
    """Predict the configurations of policies for one group.

    `run` has examples and epochs; None: no bills.

    Raises:
        PolicyError: a policy cannot be parsed, does not fit the model, or freezes everything.
        UsageError: an anchor that is needed was not measured.
    """
    figures = GroupFigures.of(group, run)
    return [
        answered(group, figures, expanded)
        for policy in policies
        for expanded in expand(policy, group.facts, granularity=granularity, seed=seed)
    ]
