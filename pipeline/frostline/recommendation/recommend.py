"""What to freeze in every model and setting of a sweep, to bring its step within a budget.

In: a sweep and a budget. Out: `Recommendations`. Refuses what `chosen_groups` and `importance_of`
refuse, a budget that is none, and one that no model and setting can meet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from os import PathLike

from frostline.analyse.stored_run import run_of
from frostline.billing.run import Run
from frostline.errors import UsageError
from frostline.memory.peak_prediction import PeakPrediction
from frostline.policies.units import paths_of
from frostline.prediction import PredictedGroup
from frostline.recommendation.choose import NO_SETTING, chosen_groups, importance_of
from frostline.recommendation.optimise import AskedAs, optimise, refuse_budget
from frostline.recommendation.recommendation import Recommendation, Recommendations
from frostline.store.sweep import Sweep, as_sweep


def recommend(
    sweep: Sweep | str | PathLike[str],
    budget: float = 1.0,
    *,
    importance: str | PathLike[str] | None = None,
    must_train: Collection[str] = (),
    freeze_head: bool = False,
    asked_as: AskedAs = "budget",
    model: str | None = None,
    setting: Mapping[str, object] = NO_SETTING,
    memory_bytes: int | None = None,
    run: Run | None = None,
) -> Recommendations:
    """Find the layers to freeze, for each model and setting.

    Args:
        sweep: the sweep, or its path; its anchors have to be measured and profiled.
        budget: step time / the baseline's at most, above 0 and up to 1.
        importance: `params`, `gradient_norm`, or a file with the columns `layer` and `importance`;
            None: the gradient norms that the sweep recorded, else parameter counts.
        must_train: layers that are not to be frozen, by name or by an end of it, or enclosing ones;
            `head` is the model's head whatever its name.
        freeze_head: the head may be frozen; else it trains, as a head that is new has to.
        asked_as: `speedup` where the budget was given as a factor, and errors are to be in factors.
        model: only this one; None: all.
        setting: values by axis (`{"batch_size": 16}`); only settings that have all of them.
        memory_bytes: device memory at most, by the predicted peak; None: any.
        run: a training run to make bills for; where it says nothing, `[run]` of the study does.

    Raises:
        BudgetError: no configuration of any model and setting is that fast, or needs so little.
        UsageError: the budget, or another argument, is wrong.
        SweepError: the sweep has no profiled anchors.
    """
    refuse_budget(budget)
    sweep = as_sweep(sweep)
    run = run_of(sweep, run)
    groups, notices = chosen_groups(sweep, model=model, setting=setting)
    found: list[Recommendation] = []
    failures: list[UsageError] = []
    for group in groups:
        try:
            worth = importance_of(sweep, group, importance)
            best = optimise(
                group,
                worth,
                budget,
                must_train=must_train,
                freeze_head=freeze_head,
                asked_as=asked_as,
                memory_bytes=memory_bytes,
                run=run,
            )
            if memory_bytes is not None:
                best = replace(best, other_batches=_other_batches(best, group, groups))
            found.append(best)
        except UsageError as error:  # another model or setting may have an answer
            failures.append(error)
    if not found:
        reasons = dict.fromkeys([*map(str, failures), *notices])
        raise type(failures[0])("\n".join(reasons))
    return Recommendations(found=tuple(found), failures=tuple(failures), notices=notices)


def _other_batches(
    best: Recommendation, group: PredictedGroup, groups: Iterable[PredictedGroup]
) -> dict[int, PeakPrediction]:
    """The pick's predicted peak under settings that differ in the batch size alone."""
    frozen = paths_of(group.facts, best.pick.frozen_layers)
    found = {}
    for other in groups:
        size = other.key.setting.batch_size
        setting = replace(other.key.setting, batch_size=group.key.setting.batch_size)
        alike = replace(other.key, setting=setting), other.device_kind
        if other is group or alike != (group.key, group.device_kind):
            continue
        if (peak := other.peak(frozen)) is not None:
            found[size] = peak
    return found
