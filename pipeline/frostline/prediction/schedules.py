"""What a training run takes whose frozen layers change over time, without running every stage.

In: a sweep, a schedule (from which epoch on which policy holds, as FreezeOut and AutoFreeze freeze
more and more) and a run. Out: the time of each stage by the cost model, and of compiling the step
anew at each change, for every model and setting. Refuses (`UsageError`) a schedule that does not
begin at epoch 1 or goes back, and policies that stand for several configurations.

    stage = epochs of the stage x steps per epoch x predicted step time + one compilation

Compiling takes what it took in the trials: `compile_s` / `step_compilations`, of the trial of the
configuration where it was measured, else the median over the trials. Without XLA it counts twice:
the optimizer that `compile` is given makes its slots while `fit` traces the step, whereupon
TensorFlow traces it again; a trial's slots are there before (`bench/schedule.py`: 1.9 to 2.2 s in
`fit` for 0.8 to 1.0 s in the trials). Under XLA the compiler dominates, which runs once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from os import PathLike
from statistics import median

from frostline.analyse.groups import GroupKey
from frostline.analyse.stored_study import study_of
from frostline.billing.bill import Amount, steps_per_epoch
from frostline.billing.run import Run, settled
from frostline.errors import UsageError
from frostline.policies import ExpandedPolicy, Granularity, Policy, expand, spelled
from frostline.prediction.fitted_groups import PredictedGroup
from frostline.prediction.interval import spread
from frostline.prediction.predict import fitted_groups
from frostline.store.sweep import Sweep, as_sweep
from frostline.store.trial_row import TrialRow

Schedule = Sequence[tuple[int, Policy]]
"""Pairs of the epoch from which a policy holds, counted from 1, and the policy."""

_TRACES_IN_FIT = 2
"""How often `fit` traces a step whose optimizer is new; a trial does so once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Some epochs with the same layers frozen.

    Attributes:
        from_epoch: the first of them, counted from 1.
        epochs: how many.
        policy: what is frozen.
        steps: training steps.
        step_ns: predicted step time.
        stepping_s: `steps` x `step_ns`.
        compile_s: tracing and compiling the step in `fit`; None where no trial tells.
    """

    from_epoch: int
    epochs: int
    policy: str
    steps: int
    step_ns: int
    stepping_s: float
    compile_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleCost:
    """A schedule's run under one setting.

    Attributes:
        key: model and setting.
        device_kind: what the sweep measured them on; None where it is not known.
        title: all of that in words; the device only where there are several kinds.
        stages: in order.
        total_s: of all stages, compilations included where they are known.
        compile_s: the part of it that is compiling; None where it is not known.
        low_s, high_s: interval of the total, by the held-out errors; None with too few of them.
        nothing_frozen_s: the same run with nothing frozen, its one compilation included.
    """

    key: GroupKey
    device_kind: str | None
    title: str
    stages: tuple[Stage, ...]
    total_s: float
    compile_s: float | None
    low_s: float | None
    high_s: float | None
    nothing_frozen_s: float

    @property
    def speedup(self) -> float:
        """The run with nothing frozen over this one."""
        return self.nothing_frozen_s / self.total_s

    def document(self) -> dict[str, object]:
        """The cost for JSON."""
        values = asdict(self)
        key = values.pop("key")
        del values["title"]
        return {**key, **key.pop("setting"), **values, "speedup": self.speedup}


def checked_schedule(schedule: Iterable[tuple[int, Policy]]) -> tuple[tuple[int, Policy], ...]:
    """A schedule whose epochs ascend from 1.

    Raises:
        UsageError: they do not.
    """
    stages = tuple(schedule)
    epochs = [epoch for epoch, _ in stages]
    if not stages or epochs[0] != 1:
        raise UsageError("a schedule begins at epoch 1: its first stage says what is frozen there")
    if any(later <= earlier for earlier, later in pairwise(epochs)):
        raise UsageError(f"a schedule's epochs ascend, and these do not: {epochs}")
    return stages


def schedule_cost(
    group: PredictedGroup, schedule: Schedule, run: Run, *, granularity: Granularity, seed: int
) -> ScheduleCost:
    """What a schedule takes in one group; `run` has examples and epochs.

    Raises:
        PolicyError: a policy does not fit the model, or freezes everything.
        UsageError: the schedule or a policy is no single course, an anchor that is needed was not
            measured, or no baseline was.
    """
    stages = checked_schedule(schedule)
    if run.examples is None or run.epochs is None:
        raise UsageError("a schedule needs the run's examples and epochs: set both under [run]")
    if stages[-1][0] > run.epochs:
        raise UsageError(
            f"the schedule's last stage begins at epoch {stages[-1][0]}, and the run has "
            f"{run.epochs}"
        )
    base_ns = group.baseline_step_ns
    if base_ns is None:
        raise UsageError(f"{group.title}: no baseline was measured")
    per_epoch = steps_per_epoch(run.examples, group.examples_per_step)
    ends = [epoch for epoch, _ in stages[1:]] + [run.epochs + 1]
    found = []
    for (first, policy), end in zip(stages, ends, strict=True):
        one = _configuration(group, policy, granularity=granularity, seed=seed)
        step_ns = base_ns / group.model.speedup(one.frozen_variables)
        steps = (end - first) * per_epoch
        found.append(
            Stage(
                from_epoch=first,
                epochs=end - first,
                policy=one.policy,
                steps=steps,
                step_ns=round(step_ns),
                stepping_s=steps * step_ns / 1e9,
                compile_s=compile_s(group.rows, one.frozen_variables),
            )
        )
    compiling = [stage.compile_s for stage in found]
    known = [each for each in compiling if each is not None]
    stepping = Amount(value=sum(stage.stepping_s for stage in found))
    stepping = stepping.within(spread([each.error for each in group.judged()]))
    whole = run.epochs * per_epoch * base_ns / 1e9 + (compile_s(group.controls, ()) or 0.0)
    return ScheduleCost(
        key=group.key,
        device_kind=group.device_kind,
        title=group.title,
        stages=tuple(found),
        total_s=stepping.value + sum(known),
        compile_s=sum(known) if len(known) == len(compiling) else None,
        low_s=None if stepping.low is None else stepping.low + sum(known),
        high_s=None if stepping.high is None else stepping.high + sum(known),
        nothing_frozen_s=whole,
    )


def _configuration(
    group: PredictedGroup, policy: Policy, *, granularity: Granularity, seed: int
) -> ExpandedPolicy:
    expanded = expand(policy, group.facts, granularity=granularity, seed=seed)
    if len(expanded) != 1:
        raise UsageError(
            f"a stage of a schedule is one configuration, and `{spelled(policy)}` stands for "
            f"{len(expanded)} of model `{group.facts.name}`"
        )
    return expanded[0]


def compile_s(rows: Sequence[TrialRow], frozen: Iterable[str]) -> float | None:
    """Seconds in which `fit` traces and compiles the step of a configuration.

    Args:
        rows: measured trials of one model under one setting.
        frozen: paths of the configuration's frozen variables.

    Returns:
        By the trials of this configuration, else by all of them; the median of several. None where
        no trial says how long its compilation took.
    """
    wanted = frozenset(frozen)
    times = [
        (
            frozenset(row.frozen_variables) == wanted,
            row.compile_s / row.step_compilations * (1 if row.jit_resolved else _TRACES_IN_FIT),
        )
        for row in rows
        if row.compile_s is not None and row.step_compilations
    ]
    own = [seconds for same, seconds in times if same]
    return median(own or [seconds for _, seconds in times]) if times else None


def predict_schedule(
    sweep: Sweep | str | PathLike[str],
    schedule: Schedule | None = None,
    *,
    model: str | None = None,
    run: Run | None = None,
) -> tuple[tuple[ScheduleCost, ...], tuple[str, ...]]:
    """What a schedule takes in every model and setting of a sweep.

    Args:
        sweep: the sweep, or its path; its anchors have to be measured and profiled.
        schedule: pairs of an epoch, counted from 1, and a policy; None: the study's own.
        model: only this one; None: all that the policies fit.
        run: examples and epochs; where it says nothing, `[run]` of the study does.

    Returns:
        The costs, and why models and settings have none.

    Raises:
        UsageError: there is no schedule or no complete run, or the schedule fits nowhere.
        SweepError: the sweep has no anchors, or its study cannot be read.
    """
    sweep = as_sweep(sweep)
    study = study_of(sweep)
    stages = study.freeze.schedule if schedule is None else checked_schedule(schedule)
    if not stages:
        raise UsageError(
            "the study has no schedule; pass one, or set it under [freeze]: "
            'schedule = [[1, "none"], [4, "prefix:8"]]'
        )
    wanted = settled(run, study.run)
    if wanted is None:
        raise UsageError(
            "a schedule needs to know how long the run is: pass --examples N and --epochs E, or "
            "set them under [run] in the study"
        )
    fitted, notices = fitted_groups(sweep, study, model)
    found = []
    for group in fitted:
        try:
            found.append(
                schedule_cost(
                    group,
                    stages,
                    wanted,
                    granularity=study.freeze.granularity,
                    seed=study.seed,
                )
            )
        except UsageError as error:
            notices.append(f"no schedule for {group.title}: {error}")
    if not found:
        raise UsageError("\n".join(["the schedule cannot be costed:", *notices]))
    return tuple(found), tuple(notices)
