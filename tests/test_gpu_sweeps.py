"""Two sweeps that were measured on a real GPU, attributed and predicted again."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from frostline.explanation import explain
from frostline.prediction import PredictedGroup, sort_groups
from frostline.store.schema import OpCostRow
from frostline.store.sweep import Sweep, open_sweep
from frostline.sweep.reattribute import reattribute

RECORDED = Path(__file__).parents[2] / "shared" / "gpu-h200"

pytestmark = [
    pytest.mark.traces,
    pytest.mark.skipif(not RECORDED.exists(), reason="the recorded GPU sweeps are not here"),
]


@pytest.fixture(scope="module", params=["convnet", "xception"])
def sweep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    copy = tmp_path_factory.mktemp("gpu") / request.param
    shutil.copytree(RECORDED / request.param, copy)
    for each in (copy, *copy.rglob("*")):
        each.chmod(each.stat().st_mode | stat.S_IWUSR)
    reattribute(copy)
    return open_sweep(copy)


def group_of(sweep: Sweep) -> PredictedGroup:
    ((group,), ()) = sort_groups(sweep)
    return group


def test_held_out_configurations_are_predicted_and_anchors_reproduced(sweep: Sweep) -> None:
    group = group_of(sweep)
    errors = {
        row.policy: abs((group.predicted(row.frozen_variables) or 0) / (row.speedup or 1) - 1)
        for row in group.rows
        if not row.is_control
    }
    anchors = {row.policy for row in group.rows if row.anchor is not None}
    held_out = [error for policy, error in errors.items() if policy not in anchors]
    assert sum(held_out) / len(held_out) <= 0.015
    assert max(held_out) <= 0.04
    assert max(errors[policy] for policy in anchors & errors.keys()) <= 0.015


def test_busy_and_waiting_are_the_devices_time(sweep: Sweep) -> None:
    found = 0
    for row in sweep.trial_rows():
        if row.waiting_ns is None or row.waits_ns is None:
            continue
        costs = sweep.rows(OpCostRow, trials=[row.trial_id])
        waits = sum(cost.wait_ns_per_step or 0 for cost in costs)
        assert waits == sum(row.waits_ns.values())
        assert row.waiting_ns == waits + (row.between_steps_ns or 0)
        assert sum(cost.ns_per_step for cost in costs) == sum((row.passes_ns or {}).values())
        assert row.unobserved_ops is None
        found += 1
    assert found >= 3


def test_the_device_waits_for_the_small_kernels_of_optimizer_and_normalisation(
    sweep: Sweep,
) -> None:
    reason = explain(sweep, "control 1").reason("host_bound")
    if group_of(sweep).key.setting.jit_compile == "auto":
        assert reason is None  # XLA fused them
        return
    assert reason is not None
    figures = {each.name: each.value for each in reason.figures}
    waits = {name: float(value) for name, value in figures.items() if name.startswith("wait: ")}
    longest = sorted(waits, key=waits.__getitem__, reverse=True)[:2]
    assert longest == ["wait: the update", "wait: BatchNormalization"]
    assert waits["wait: the update"] > 8e6
    assert float(figures["short ops: the update"]) > 3000
    assert "3277 kernels a step, 3261 of them shorter than 5 µs" in reason.text
