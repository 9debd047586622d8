"""Measures a recommendation as one more trial in the same OUT.

In: OUT, and a recommendation made from it. Out: `Verified`, the measured speedup beside the
predicted one. The trial belongs to OUT's own study, reduced to the model, the setting and the pick.
Its controls are measured already; the trial is measured beside a new baseline, as in any sweep.
Refuses a builder that cannot be found from here, and one that now gives another model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Literal

from frostline.analyse.groups import GroupKey, group_of
from frostline.analyse.stored_model import load_facts
from frostline.billing.bill import Amount, Bill
from frostline.billing.trials import counted_joules
from frostline.errors import FrostlineError, UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.measure.messages import Failed
from frostline.policies.units import paths_of
from frostline.recommendation.recommendation import Recommendation
from frostline.schedule.listener import SweepListener
from frostline.store.sweep import Sweep, as_sweep, open_sweep
from frostline.store.trial_row import TrialRow
from frostline.study.study import Study
from frostline.study.tables import FreezeTable, TrainTable
from frostline.sweep.resume import Inspect
from frostline.sweep.run import inspect_study, run_sweep
from frostline.sweep.study_to_run import study_to_run
from frostline.sweep.workers import MakeExecutor

Outcome = Literal["within", "above", "undecided"]


class VerifyError(FrostlineError):
    """The pick could not be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The measured speedup of a recommendation, beside the predicted one.

    Attributes:
        trial_id: of the trial that measured it.
        measured_before: the sweep had this configuration already; nothing was run.
        speedup, low, high: measured, with its 95% interval.
        predicted_speedup: before it was measured.
        noise_floor: over the controls of its group.
        budget: step time / the baseline's, as asked.
        bill: what the run takes by this measurement; None where no run is described.
    """

    trial_id: str
    measured_before: bool
    speedup: float
    low: float
    high: float
    predicted_speedup: float
    noise_floor: float | None
    budget: float
    bill: Bill | None = None

    @property
    def error(self) -> float:
        """Predicted / measured speedup - 1."""
        return self.predicted_speedup / self.speedup - 1

    @property
    def outcome(self) -> Outcome:
        """Whether the budget is kept; `undecided` where the interval contains it."""
        if 1 / self.low <= self.budget:
            return "within"
        return "above" if 1 / self.high > self.budget else "undecided"


def verify(
    sweep: Sweep | str | PathLike[str],
    found: Recommendation,
    *,
    study: str | PathLike[str] | None = None,
    trust_study: bool = False,
    address: str | None = None,
    listener: SweepListener | None = None,
    make_executor: MakeExecutor | None = None,
    inspect: Inspect = inspect_study,
    process_module: str = "frostline.measure.process",
) -> Verified:
    """Measure a recommendation, unless the sweep has measured it already.

    Args:
        sweep: what it was made from, or its path; the trial is added to its OUT.
        found: the recommendation.
        study: path of the study file beside its builders; None: OUT's copy, and builders are
            looked for in the current folder and where Python finds modules.
        trust_study: run what OUT's copy names. An OUT from somebody else may name any function;
            ready-made models need no trust.
        address: as in `run_sweep`.
        listener: as in `run_sweep`.
        make_executor: as in `run_sweep`.
        inspect: as in `run_sweep`.
        process_module: as in `run_sweep`.

    Raises:
        UsageError: nothing is frozen, the study or its builder cannot be used from here, the
            builder gives another model than the one that was measured.
        VerifyError: the trial failed; says why.
        FrostlineError: as `run_sweep`.
    """
    sweep = as_sweep(sweep)
    facts = load_facts(sweep, found.key.model_key)
    frozen = frozenset(paths_of(facts, found.pick.frozen_layers))
    if not frozen:
        raise UsageError(f"{found.title}: the recommendation freezes nothing: nothing to verify")
    known = _measured(_rows(sweep, found.key), frozen, found.device_kind)
    if known is None:
        run_sweep(
            _cut_down(sweep, found, None if study is None else Path(study), trust_study),
            sweep.out.address,
            address=address,
            listener=listener,
            make_executor=make_executor,
            inspect=_same_model(inspect, facts),
            process_module=process_module,
            part_of_study=True,
        )
    now = open_sweep(sweep.out.address)
    rows = _rows(now, found.key)
    row = _measured(rows, frozen, found.device_kind) if known is None else known
    if row is None or row.speedup is None:
        raise _failed(rows, frozen, sweep)
    low = row.speedup if row.speedup_low is None else row.speedup_low
    high = row.speedup if row.speedup_high is None else row.speedup_high
    billing = found.answer.billing
    speedup = Amount(value=row.speedup, low=low, high=high)
    return Verified(
        trial_id=row.trial_id,
        measured_before=known is not None,
        speedup=row.speedup,
        low=low,
        high=high,
        predicted_speedup=found.answer.predicted_speedup,
        noise_floor=group_of(now.trial_rows(), row).noise_floor,
        budget=found.pick.budget,
        bill=None if billing is None else billing.measured(speedup, counted_joules(row)),
    )


def _rows(sweep: Sweep, key: GroupKey) -> list[TrialRow]:
    return [row for row in sweep.trial_rows() if GroupKey.of(row) == key]


def _measured(
    rows: Sequence[TrialRow], frozen: frozenset[str], device_kind: str | None
) -> TrialRow | None:
    """The latest measured trial of a configuration, if there is one on this kind of device."""
    measured = [
        row for row in rows if frozenset(row.frozen_variables) == frozen and row.speedup is not None
    ]
    return max(
        measured, key=lambda row: (row.device_kind == device_kind, row.started_at), default=None
    )


def _failed(rows: list[TrialRow], frozen: frozenset[str], sweep: Sweep) -> VerifyError:
    for row in rows:
        if frozenset(row.frozen_variables) == frozen and row.status == "failed":
            return VerifyError(
                f"the trial of the recommendation failed in {row.error_stage}: "
                f"{row.error_message} (log: {sweep.out.files.shown}/logs/{row.trial_id}.log)"
            )
    return VerifyError("the trial of the recommendation left no row; run the same command again")


def _cut_down(sweep: Sweep, found: Recommendation, file: Path | None, trusted: bool) -> Study:
    """OUT's study with one model, one setting and one policy; with its own text and digest."""
    study = study_to_run(sweep, file, trusted=trusted)
    key = found.key
    models = tuple(model for model in study.models if model.name in (key.model, key.model_key))
    if not models:
        raise UsageError(f"the study has no model `{key.model}` any more; pass --study its file")
    given = {axis: (value,) for axis, value in asdict(key.setting).items() if value is not None}
    train = TrainTable.model_construct(None, **given)
    freeze = FreezeTable.model_construct(
        policies=(found.answer.policy,), granularity="layer", anchors=False
    )
    return replace(study, models=models, train=train, freeze=freeze)


def _same_model(inspect: Inspect, facts: ModelFacts) -> Inspect:
    """An inspection that refuses a model whose variables are not those that were measured."""

    def checked(study: Study, logs: Path) -> Mapping[str, ModelFacts | Failed]:
        found = inspect(study, logs)
        for model in found.values():
            if isinstance(model, Failed):
                raise VerifyError(f"the model cannot be built ({model.stage}): {model.message}")
            if model.name == facts.name and _shapes(model) != _shapes(facts):
                raise UsageError(
                    f"the builder of model `{facts.name}` gives other variables now than when the "
                    "sweep ran; run the study again before asking what to freeze"
                )
        return {**found, facts.name: facts}

    return checked


def _shapes(facts: ModelFacts) -> set[tuple[str, tuple[int, ...]]]:
    return {(variable.path, variable.shape) for variable in facts.variables}
