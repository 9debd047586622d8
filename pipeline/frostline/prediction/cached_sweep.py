"""Cached features of policies in every model and setting of a sweep.

In: a sweep and policies. Out: what `cached_features` says of each configuration that has a frozen
prefix, and why the others have nothing to store. Reads the anchors' graphs only.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from frostline.analyse.stored_model import read_graph
from frostline.analyse.stored_study import study_of
from frostline.attribute.step_graph import StepGraph
from frostline.billing.run import Run, settled
from frostline.errors import UsageError
from frostline.policies import Policy, expand
from frostline.prediction.cached_features import CachedFeatures, cached_features
from frostline.prediction.fitted_groups import PredictedGroup, sort_groups
from frostline.prediction.predict import known_model
from frostline.store.sweep import Sweep, as_sweep


def predict_cached(
    sweep: Sweep | str | PathLike[str],
    policies: str | Sequence[Policy],
    *,
    model: str | None = None,
    run: Run | None = None,
    bandwidth: float | None = None,
) -> tuple[tuple[CachedFeatures, ...], tuple[str, ...]]:
    """What training on stored outputs of frozen prefixes gives.

    Args:
        sweep: the sweep, or its path; its anchors have to be measured and profiled.
        policies: as in a study file; one, or several.
        model: only this one; None: all that the policies fit.
        run: its examples say how much is stored; where it says nothing, `[run]`
            of the study does; without either, nothing is said of the whole store.
        bandwidth: bytes a second that the store is read and written with; None: it is in memory.

    Returns:
        A value for each configuration with a frozen prefix, and why others have none.

    Raises:
        UsageError: a policy cannot be parsed, or none has a prefix.
        SweepError: the sweep has no study.
    """
    policies = [policies] if isinstance(policies, str) else policies
    sweep = as_sweep(sweep)
    study = study_of(sweep)
    wanted = settled(run, study.run)
    fitted, rest = sort_groups(sweep, model=known_model(model, study, sweep))
    found, notices = [], [each.notice for each in rest]
    for group in fitted:
        graph = _graph(sweep, group)
        if graph is None or group.baseline_step_ns is None:
            notices.append(f"{group.title}: its anchors left no traced step to find a prefix in")
            continue
        for policy in policies:
            try:
                expanded = expand(
                    policy, group.facts, granularity=study.freeze.granularity, seed=study.seed
                )
            except UsageError as error:
                notices.append(str(error))
                continue
            for one in expanded:
                try:
                    found.append(
                        cached_features(
                            group,
                            graph,
                            policy=one.policy,
                            frozen=one.frozen_variables,
                            baseline_step_ns=group.baseline_step_ns,
                            batch_size=group.examples_per_step,
                            examples=None if wanted is None else wanted.examples,
                            bandwidth=bandwidth,
                        )
                    )
                except UsageError as error:
                    notices.append(f"{group.title}: {error}")
    if not found:
        raise UsageError("\n".join(["nothing can be stored:", *dict.fromkeys(notices)]))
    return tuple(found), tuple(dict.fromkeys(notices))


def _graph(sweep: Sweep, group: PredictedGroup) -> StepGraph | None:
    """The step of the anchor in which the head alone trains: no normalisation keeps a state."""
    row = next((row for row in group.rows if row.anchor == "pruned"), None)
    if row is None:
        return None
    return read_graph(sweep, row.trial_id, group.facts, frozen=row.frozen_variables, tensors=True)
