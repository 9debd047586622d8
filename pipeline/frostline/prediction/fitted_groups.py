"""The cost models of a sweep, by model, setting and kind of device, where anchors were measured.

In: a sweep's rows and its anchors. Out: groups with a fitted cost model and the inputs of the naive
predictors, and groups without a cost model, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import median

from frostline.analyse.groups import GroupKey, TrialGroup, trial_groups
from frostline.analyse.prediction_error import held_out_of
from frostline.analyse.stored_memory import memory_of
from frostline.analyse.stored_model import load_facts
from frostline.billing.trials import examples_per_step
from frostline.costmodel.held_out import HeldOut
from frostline.costmodel.model import CostModel
from frostline.costmodel.naive import NaiveInputs
from frostline.errors import DamagedError, UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.memory.model import MemoryModel
from frostline.memory.peak_prediction import PeakPrediction
from frostline.prediction.evidence import evidence_of, layer_profiles
from frostline.store.sweep import Sweep
from frostline.store.trial_row import TrialRow


@dataclass(frozen=True, kw_only=True)
class PredictedGroup:
    """Measured trials of one model, setting and kind of device, and the model of their anchors.

    Attributes:
        key: the model and setting.
        device_kind: what measured them; None where it is not known.
        title: all of that in words; the device only where the setting was measured on several.
        rows: measured trials, in the order of `trial_id`.
        facts: the model.
        model: the cost model.
        naive: inputs of the naive predictors.
        sweep: what it was read from; None: nothing is known of memory.
        controls: measured controls that it is held against; those of the plain model.
    """

    key: GroupKey
    device_kind: str | None
    title: str
    rows: tuple[TrialRow, ...]
    facts: ModelFacts
    model: CostModel
    naive: NaiveInputs
    sweep: Sweep | None = field(default=None, repr=False, compare=False)
    controls: tuple[TrialRow, ...] = ()

    @cached_property
    def memory(self) -> MemoryModel | None:
        """Predicts peaks; None where what it needs was not recorded."""
        return None if self.sweep is None else memory_of(self.sweep, self.rows, self.facts)

    @cached_property
    def baseline_step_ns(self) -> float | None:
        """Median over its measured baselines, in nanoseconds; None where none was measured."""
        found = [row.baseline_step_ns for row in self.rows if row.baseline_step_ns]
        return median(found) if found else None

    @cached_property
    def examples_per_step(self) -> float:
        """Median over its trials."""
        return median(map(examples_per_step, self.rows))

    @property
    def held_out(self) -> tuple[TrialRow, ...]:
        """Measured configurations that are no anchors and no controls."""
        return tuple(row for row in self.rows if not row.is_anchor)

    def predicted(self, frozen_variables: Sequence[str]) -> float | None:
        """Predicted speedup; None where an anchor that would be needed was not measured."""
        try:
            return self.model.speedup(frozen_variables)
        except UsageError:
            return None

    def peak(self, frozen_variables: Collection[str]) -> PeakPrediction | None:
        """Predicted peak of a configuration; None where nothing can say it."""
        if self.memory is None:
            return None
        try:
            return self.memory.predict(frozen_variables)
        except UsageError:
            return None

    def judged_peak(self, row: TrialRow) -> PeakPrediction | None:
        """The predicted peak of a measured trial as it is judged; None where nothing can say it.

        Its slack is 0 where the measured peak is of what tensors asked for, `judged_peak_bytes`.
        """
        peak = self.peak(row.frozen_variables)
        return peak if peak is None or not row.is_judged_by_requests else replace(peak, slack=0)

    @property
    def gaps(self) -> tuple[str, ...]:
        """Measured configurations that cannot be predicted, each with the reason, in words."""
        found: dict[str, None] = {}
        for row in self.rows:
            try:
                self.model.speedup(row.frozen_variables)
            except UsageError as error:
                found[f"no prediction for `{row.policy}`, {self.title}: {error}"] = None
        return tuple(found)

    def judged_peaks(self) -> list[tuple[int, int]]:
        """Predicted and measured peaks of held-out configurations, in bytes, where both are."""
        found = []
        for row in self.held_out:
            measured = row.judged_peak_bytes
            peak = self.judged_peak(row) if measured is not None else None
            if peak is not None and measured is not None:
                found.append((peak.total, measured))
        return found

    def judged(self) -> list[HeldOut]:
        """Held-out configurations with their predictions, where there is a prediction."""
        judged = (held_out_of(row, self.predicted(row.frozen_variables)) for row in self.held_out)
        return [each for each in judged if each is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpredicted:
    """Measured trials without enough anchors for a cost model.

    Attributes:
        key, device_kind, title, rows, naive, controls: as in `PredictedGroup`.
        reason: why there is no cost model, and what to do.
    """

    key: GroupKey
    device_kind: str | None
    title: str
    rows: tuple[TrialRow, ...]
    naive: NaiveInputs
    reason: str
    controls: tuple[TrialRow, ...] = ()

    @property
    def notice(self) -> str:
        """The reason, with the model and setting."""
        return f"no predictions for {self.title}: {self.reason}"


def sort_groups(
    sweep: Sweep, *, model: str | None = None
) -> tuple[tuple[PredictedGroup, ...], tuple[Unpredicted, ...]]:
    """Every model and setting with measured trials: those with a cost model, and the others.

    Where a setting was measured on several kinds of device, each of them is a group of its own.
    With `model`, only the settings of that one.

    Raises:
        DamagedError: a file that is needed is not what a sweep writes.
    """
    fitted: list[PredictedGroup] = []
    rest: list[Unpredicted] = []
    for group in trial_groups(row for row in sweep.trial_rows() if model in (None, row.model)):
        rows = tuple(row for row in group.rows if row.status == "ok")
        if not rows:
            continue
        try:
            fitted.append(_fitted(sweep, group, rows))
        except DamagedError:  # no reason to go on without what is there
            raise
        except UsageError as error:
            rest.append(
                Unpredicted(
                    key=group.key,
                    device_kind=group.device_kind,
                    title=group.title,
                    rows=rows,
                    naive=_naive(sweep, rows, next((row for row in rows if row.is_control), None)),
                    reason="; ".join(filter(None, (str(error), _elsewhere(group)))),
                    controls=group.controls,
                )
            )
    return tuple(fitted), tuple(rest)


def _fitted(sweep: Sweep, group: TrialGroup, rows: tuple[TrialRow, ...]) -> PredictedGroup:
    """The measured trials of a group, with a cost model.

    Raises:
        UsageError: its anchors do not suffice for one.
    """
    key = group.key
    facts = load_facts(sweep, key.model_key)
    evidence = evidence_of(sweep, rows, facts)
    is_variant = key.variant is not None
    fit = CostModel(facts, evidence.runs, is_variant=is_variant, advice=_elsewhere(group))
    return PredictedGroup(
        key=key,
        device_kind=group.device_kind,
        title=group.title,
        rows=rows,
        facts=facts,
        model=fit,
        naive=_naive(sweep, rows, evidence.baseline),
        sweep=sweep,
        controls=group.controls,
    )


def _elsewhere(group: TrialGroup) -> str:
    """Why anchors may be missing where several kinds of device measured; empty where one did."""
    if not group.other_kinds:
        return ""
    return (
        f"other trials of it ran on {' and '.join(group.other_kinds)}, and the anchors of one kind "
        "of device say nothing about another: run the study on one kind, on a new OUT"
    )


def _naive(sweep: Sweep, rows: Sequence[TrialRow], baseline: TrialRow | None) -> NaiveInputs:
    """Inputs of the naive predictors: the baseline's profile and the step of `all_but_head`.

    Without a baseline the gradients of another trial are not taken for its own; FLOPs are the same
    in all.
    """
    pruned = next((row for row in rows if row.anchor == "pruned" and row.speedup), None)
    layers = layer_profiles(sweep, (baseline or rows[0]).trial_id)
    if baseline is None:
        layers = {name: replace(layer, dx_ns=0, dw_ns=0) for name, layer in layers.items()}
    return NaiveInputs(
        layers=layers,
        head_fraction=pruned.frozen_fraction if pruned else None,
        head_relative_step=1 / pruned.speedup if pruned and pruned.speedup else None,
    )
