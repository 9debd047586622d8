"""The cost models of a sweep: one for each model and setting whose anchors were measured.

In: a sweep's rows and its anchors. Out: groups with a fitted cost model and the inputs of the naive
predictors, and groups without a cost model, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import median

from frostline.analyse.groups import GroupKey, controls_of, group_rows
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
    """The measured trials of one model under one setting, and the model fitted to its anchors.

    Attributes:
        key: what they have in common.
        rows: measured trials, in the order of `trial_id`.
        facts: the model.
        model: the cost model.
        naive: inputs of the naive predictors.
        sweep: what it was read from; None: nothing is known of memory.
        controls: measured controls that it is held against; those of the plain model.
    """

    key: GroupKey
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
                found[f"no prediction for `{row.policy}`, {self.key.label}: {error}"] = None
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
    """The measured trials of one model under one setting without enough anchors for a cost model.

    Attributes:
        key, rows, naive, controls: as in `PredictedGroup`.
        reason: why there is no cost model, and what to do.
    """

    key: GroupKey
    rows: tuple[TrialRow, ...]
    naive: NaiveInputs
    reason: str
    controls: tuple[TrialRow, ...] = ()

    @property
    def notice(self) -> str:
        """The reason, with the model and setting."""
        return f"no predictions for {self.key.label}: {self.reason}"


def sort_groups(
    sweep: Sweep, *, model: str | None = None
) -> tuple[tuple[PredictedGroup, ...], tuple[Unpredicted, ...]]:
    """Every model and setting with measured trials: those with a cost model, and the others.

    With `model`, only the settings of that one.

    Raises:
        DamagedError: a file that is needed is not what a sweep writes.
    """
    fitted: list[PredictedGroup] = []
    rest: list[Unpredicted] = []
    measured = [
        row
        for row in sweep.trial_rows()
        if row.status == "ok" and (model is None or row.model == model)
    ]
    for key, rows in group_rows(measured).items():
        controls = controls_of(measured, key)
        try:
            facts = load_facts(sweep, key.model_key)
            evidence = evidence_of(sweep, rows, facts)
            fit = CostModel(facts, evidence.runs, is_variant=key.variant is not None)
        except DamagedError:  # no reason to go on without what is there
            raise
        except UsageError as error:
            baseline = next((row for row in rows if row.is_control), rows[0])
            naive = _naive(sweep, rows, baseline)
            rest.append(
                Unpredicted(
                    key=key,
                    rows=tuple(rows),
                    naive=naive,
                    reason=str(error),
                    controls=controls,
                )
            )
        else:
            naive = _naive(sweep, rows, evidence.baseline)
            fitted.append(
                PredictedGroup(
                    key=key,
                    rows=tuple(rows),
                    facts=facts,
                    model=fit,
                    naive=naive,
                    sweep=sweep,
                    controls=controls,
                )
            )
    return tuple(fitted), tuple(rest)


def _naive(sweep: Sweep, rows: Sequence[TrialRow], baseline: TrialRow) -> NaiveInputs:
    """Inputs of the naive predictors: the baseline's profile and the step of `all_but_head`."""
    pruned = next((row for row in rows if row.anchor == "pruned" and row.speedup), None)
    return NaiveInputs(
        layers=layer_profiles(sweep, baseline.trial_id),
        head_fraction=pruned.frozen_fraction if pruned else None,
        head_relative_step=1 / pruned.speedup if pruned and pruned.speedup else None,
    )
