"""Cached features of policies in every model and setting of a sweep.

In: a sweep and policies. Out: what `cached_features` says of each configuration that has a frozen
prefix, and why the others have nothing to store. Reads the anchors' graphs only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from os import PathLike

from frostline.analyse.stored_model import read_graph
from frostline.analyse.stored_study import study_of
from frostline.attribute.step_graph import StepGraph
from frostline.billing.run import Run, settled
from frostline.errors import UsageError
from frostline.policies import Policy
from frostline.prediction.cached_features import CachedFeatures, cached_features
from frostline.prediction.fitted_groups import PredictedGroup
from frostline.prediction.predict import configurations, fitted_groups, parsed
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
        PolicyError: a policy cannot be parsed, freezes everything, or fits no model.
        UsageError: no policy has a frozen prefix, or the bandwidth is no number above 0.
        SweepError: the sweep has no anchors, or its study cannot be read.
    """
    policies = parsed(policies)
    if bandwidth is not None and not 0 < bandwidth < math.inf:
        raise UsageError(
            f"a bandwidth of {bandwidth:g} bytes a second: it is a number above 0; leave it out "
            "where the store is in memory"
        )
    sweep = as_sweep(sweep)
    study = study_of(sweep)
    wanted = settled(run, study.run)
    fitted, notices = fitted_groups(sweep, study, model, policies)
    found = []
    for group in fitted:
        graph = _graph(sweep, group)
        if graph is None or group.baseline_step_ns is None:
            notices.append(f"{group.title}: its anchors left no traced step to find a prefix in")
            continue
        for policy in policies:
            for one in configurations(group, policy, study, notices):
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
