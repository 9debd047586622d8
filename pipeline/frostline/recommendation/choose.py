"""Chooses the models and settings to answer, and the importances of their layers.

In: a sweep and the user's choices. Out: groups with a cost model, and the importance of their
layers. Refuses (UsageError) names that the sweep does not have, and sweeps without anchors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType

from frostline.analyse.groups import GroupKey, controls_of
from frostline.errors import SweepError, UsageError
from frostline.prediction import PredictedGroup, sort_groups
from frostline.recommendation.importance import (
    Importance,
    by_gradient_norms,
    by_params,
    read_importance,
)
from frostline.store.sweep import Sweep
from frostline.suggest import advice
from frostline.trial import AXES

NO_SETTING: Mapping[str, object] = MappingProxyType({})


def chosen_groups(
    sweep: Sweep, *, model: str | None = None, setting: Mapping[str, object] = NO_SETTING
) -> tuple[tuple[PredictedGroup, ...], tuple[str, ...]]:
    """The groups to answer, and notices about groups without a cost model.

    With `model`, only those of that one. `setting` has values by axis (`{"batch_size": 16}`); the
    groups fit all of them.

    Raises:
        UsageError: there is no such model, axis or value.
        SweepError: nothing of what was asked for has anchors with a trace.
    """
    wanted = {_known_axis(axis): str(value) for axis, value in setting.items()}
    rows = sweep.trial_rows()
    models = list(dict.fromkeys(row.model for row in rows))
    if model is not None and model not in models:
        raise UsageError(f"the sweep has no model `{model}`. {advice(model, models)}")
    keys = {GroupKey.of(row) for row in rows if model in (None, row.model)}
    for axis, value in wanted.items():
        values = sorted({_value(key, axis) for key in keys})
        if value not in values:
            raise UsageError(f"setting {axis}={value}: not in this sweep. {advice(value, values)}")

    def fits(key: GroupKey) -> bool:
        return all(_value(key, axis) == value for axis, value in wanted.items())

    if keys and not any(map(fits, keys)):
        raise UsageError(
            f"the sweep has no setting with {_listed(wanted)}; it has "
            f"{'; '.join(sorted(key.label for key in keys))}"
        )
    fitted, rest = sort_groups(sweep, model=model)
    fitted = tuple(group for group in fitted if fits(group.key))
    notices = tuple(each.notice for each in rest if fits(each.key))
    if not fitted:
        reasons = "".join(f"\n  {notice}" for notice in notices)
        raise SweepError(
            f"{sweep.out.files.shown} has no measured anchors to recommend from; run "
            f"`frostline sweep STUDY.toml --out {sweep.out.files.shown}` to the end, with "
            "anchors = true under [freeze] and profile_steps above 0 under [measure] (both are "
            f"the default).{reasons}"
        )
    return fitted, notices


def importance_of(
    sweep: Sweep, group: PredictedGroup, asked: str | PathLike[str] | None
) -> Importance:
    """The importance of a group's layers.

    `asked` is `params`, `gradient_norm`, or a file's path; None: gradient norms where the sweep
    recorded them for every layer, else parameter counts.

    Raises:
        UsageError: the file is wrong, or the gradient norms that were asked for are not recorded.
    """
    if asked == "params":
        return by_params(group.facts)
    if asked in ("gradient_norm", "gradient_norms"):
        return _by_norms(sweep, group)
    if asked is not None:
        return read_importance(Path(asked), group.facts)
    try:
        return _by_norms(sweep, group)
    except UsageError:
        return by_params(group.facts)


def _by_norms(sweep: Sweep, group: PredictedGroup) -> Importance:
    if group.key.variant is not None:
        raise UsageError(
            f"{group.title}: gradient norms are recorded of the plain model alone; pass "
            "--importance FILE or --importance params"
        )
    return by_gradient_norms(group.facts, _recorded(sweep, group))


def _recorded(sweep: Sweep, group: PredictedGroup) -> dict[str, float]:
    """Mean recorded gradient norm by layer, on any device; empty where none is recorded."""
    controls = [row.trial_id for row in controls_of(sweep.trial_rows(), group.key)]
    found: dict[str, list[float]] = defaultdict(list)
    for row in sweep.table("layers", ["layer", "gradient_norm"], trials=controls).to_pylist():
        if row["gradient_norm"] is not None:
            found[row["layer"]].append(row["gradient_norm"])
    return {layer: sum(norms) / len(norms) for layer, norms in found.items()}


def _known_axis(axis: str) -> str:
    if axis not in AXES:
        raise UsageError(f"setting {axis}: no such axis. {advice(axis, AXES)}")
    return axis


def _listed(wanted: Mapping[str, str]) -> str:
    return " and ".join(f"{axis}={value}" for axis, value in wanted.items())


def _value(key: GroupKey, axis: str) -> str:
    return str(getattr(key.setting, axis) or "")
