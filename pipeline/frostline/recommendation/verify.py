"""Measures a recommendation: one more trial in the same OUT.

In: OUT, and a recommendation made from it. Out: `Verified`: what the trial came to, beside what was
predicted. The study is OUT's own, cut down to the model, the setting and the pick: its controls are
measured already and the trial is compared with a baseline built anew beside it, as in any sweep.
Refuses a builder that cannot be found from here or that gives another model now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from frostline.analyse import noise_floor
from frostline.analyse.groups import GroupKey
from frostline.errors import FrostlineError, StudyError, SweepError, UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.measure.messages import Failed
from frostline.prediction import PredictedGroup
from frostline.recommendation.recommend import Recommendation
from frostline.schedule.listener import SweepListener
from frostline.store.outdir import STUDY
from frostline.store.sweep import Sweep, open_sweep
from frostline.store.trial_row import TrialRow
from frostline.study.parse import read_text
from frostline.study.study import Study, parse_study
from frostline.study.tables import FreezeTable, TrainTable
from frostline.sweep.resume import Inspect
from frostline.sweep.run import inspect_study, run_sweep
from frostline.sweep.workers import MakeExecutor

Outcome = Literal["within", "above", "undecided"]


class VerifyError(FrostlineError):
    """The pick could not be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What measuring a recommendation came to.

    Attributes:
        trial_id: its row.
        measured_before: the sweep had this configuration already; nothing was run.
        speedup, low, high: measured, with its 95% interval.
        predicted_speedup: before it was measured.
        noise_floor: over the controls of its group.
        budget: step time / the baseline's, as asked.
    """

    trial_id: str
    measured_before: bool
    speedup: float
    low: float
    high: float
    predicted_speedup: float
    noise_floor: float | None
    budget: float

    @property
    def error(self) -> float:
        """Predicted / measured speedup - 1."""
        return self.predicted_speedup / self.speedup - 1

    @property
    def outcome(self) -> Outcome:
        """Whether the budget is kept: `undecided` where the interval reaches over it."""
        if 1 / self.low <= self.budget:
            return "within"
        return "above" if 1 / self.high > self.budget else "undecided"


def verify(
    sweep: Sweep,
    group: PredictedGroup,
    found: Recommendation,
    *,
    study: Path | None = None,
    address: str | None = None,
    listener: SweepListener | None = None,
    make_executor: MakeExecutor | None = None,
    inspect: Inspect = inspect_study,
    process_module: str = "frostline.measure.process",
) -> Verified:
    """Measure a recommendation, unless the sweep has measured it already.

    Args:
        sweep: what it was made from; the trial is added to its OUT.
        group: of the recommendation.
        found: the recommendation.
        study: the study file as it lies beside its builders; None: OUT's copy, builders are looked
            for in the current folder and where Python finds modules.
        address: as in `run_sweep`.
        listener: the same.
        make_executor: the same.
        inspect: the same.
        process_module: the same.

    Raises:
        UsageError: nothing is frozen, the study or its builder cannot be used from here, the
            builder gives another model than the one that was measured.
        VerifyError: the trial failed; says why.
        FrostlineError: as `run_sweep`.
    """
    frozen = frozenset(
        v.path for name in found.pick.frozen_layers for v in group.facts.by_name[name].variables
    )
    if not frozen:
        raise UsageError(
            f"{found.key.label}: the recommendation freezes nothing: nothing to verify"
        )
    known = _measured(group.rows, frozen)
    if known is None:
        run_sweep(
            _cut_down(sweep, found, study),
            sweep.out.address,
            address=address,
            listener=listener,
            make_executor=make_executor,
            inspect=_same_model(inspect, group.facts),
            process_module=process_module,
            part_of_study=True,
        )
    now = open_sweep(sweep.out.address)
    rows = [row for row in now.trial_rows() if GroupKey.of(row) == found.key]
    row = _measured(rows, frozen) if known is None else known
    if row is None or row.speedup is None:
        raise _failed(rows, frozen, sweep)
    return Verified(
        trial_id=row.trial_id,
        measured_before=known is not None,
        speedup=row.speedup,
        low=row.speedup if row.speedup_low is None else row.speedup_low,
        high=row.speedup if row.speedup_high is None else row.speedup_high,
        predicted_speedup=found.answer.predicted_speedup,
        noise_floor=noise_floor(rows),
        budget=found.pick.budget,
    )


def _measured(rows: Sequence[TrialRow], frozen: frozenset[str]) -> TrialRow | None:
    """The latest measured trial of a configuration."""
    measured = [
        row for row in rows if frozenset(row.frozen_variables) == frozen and row.speedup is not None
    ]
    return max(measured, key=lambda row: row.started_at, default=None)


def _failed(rows: list[TrialRow], frozen: frozenset[str], sweep: Sweep) -> VerifyError:
    for row in rows:
        if frozenset(row.frozen_variables) == frozen and row.status == "failed":
            return VerifyError(
                f"the trial of the recommendation failed in {row.error_stage}: "
                f"{row.error_message} (log: {sweep.out.files.shown}/logs/{row.trial_id}.log)"
            )
    return VerifyError("the trial of the recommendation left no row; run the same command again")


def _cut_down(sweep: Sweep, found: Recommendation, file: Path | None) -> Study:
    """OUT's study with one model, one setting and one policy; its text and digest stay."""
    study = _study(sweep, file)
    key = found.key
    models = tuple(model for model in study.models if model.name == key.model)
    if not models:
        raise UsageError(f"the study has no model `{key.model}` any more; pass --study its file")
    given = {axis: (value,) for axis, value in asdict(key.setting).items() if value is not None}
    train = TrainTable.model_construct(None, **given)
    freeze = FreezeTable.model_construct(
        policies=(found.answer.policy,), granularity="layer", anchors=False
    )
    return replace(study, models=models, train=train, freeze=freeze)


def _study(sweep: Sweep, file: Path | None) -> Study:
    text = sweep.out.read_text(STUDY) if file is None else read_text(file)
    if text is None:
        raise SweepError(f"{sweep.out.files.shown} has no {STUDY}; pass --study the study file")
    try:
        study = parse_study(
            text,
            path=Path.cwd() / STUDY if file is None else file,
            former_names=file is None and sweep.manifest.begun_as_pipeline,
        )
    except StudyError as error:
        if file is not None:
            raise
        raise UsageError(
            f"{sweep.out.files.shown}/{STUDY} cannot be run from this folder. Where its builders "
            f"lie beside the study file, pass --study that file.\n{error}"
        ) from error
    if study.name != sweep.manifest.study:
        raise UsageError(
            f"{file}: the study is {study.name!r}, and {sweep.out.files.shown} holds "
            f"{sweep.manifest.study!r}"
        )
    return study


def _same_model(inspect: Inspect, facts: ModelFacts) -> Inspect:
    """An inspection that refuses a model whose variables are not those that were measured."""

    def checked(study: Study, logs: Path) -> Mapping[str, ModelFacts | Failed]:
        found = inspect(study, logs)
        for model in found.values():
            if isinstance(model, Failed):
                raise VerifyError(f"the model cannot be built ({model.stage}): {model.message}")
            if _shapes(model) != _shapes(facts):
                raise UsageError(
                    f"the builder of model `{facts.name}` gives other variables now than when the "
                    "sweep ran; run the study again before asking what to freeze"
                )
        return {facts.name: facts}

    return checked


def _shapes(facts: ModelFacts) -> set[tuple[str, tuple[int, ...]]]:
    return {(variable.path, variable.shape) for variable in facts.variables}
