"""Two sweeps that were measured on a real GPU, attributed and predicted again."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from frostline.analyse.stored_memory import NAIVE_PEAKS
from frostline.billing import Run, trial_bills
from frostline.cli import main
from frostline.explanation import explain
from frostline.memory.held_out import peak_errors
from frostline.memory.liveness import peak
from frostline.memory.program import ProgramStep
from frostline.prediction import PredictedGroup, predict, sort_groups
from frostline.prediction.bills import anchor_power
from frostline.store.schema import OpCostRow, PredictionRow, ProgramOpRow
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
    done = reattribute(copy, retrace=True)
    assert not done.untraced
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


def test_energies_of_held_out_configurations_are_predicted(sweep: Sweep) -> None:
    group = group_of(sweep)
    power = anchor_power(group)
    assert power is not None
    assert power.error is not None
    assert power.error.count == len(group.held_out)
    assert power.error.mean_abs <= 0.06
    assert power.error.max_abs <= 0.12
    enough = power.error.count >= 5
    assert (power.spread is not None) == enough
    run = Run(examples=1_281_167, epochs=90)
    measured = trial_bills(group.rows, run)
    for row in group.held_out:
        (answer,) = predict(sweep, row.policy, run=run).answers
        mine = measured[row.trial_id]
        assert answer.bill is not None
        assert answer.bill.kwh is not None
        assert mine.kwh is not None
        assert answer.bill.steps == mine.steps == 90 * -(-1_281_167 // row.batch_size)
        assert answer.bill.kwh_from == "predicted"
        assert answer.bill.kwh.value == pytest.approx(mine.kwh.value, rel=0.2)
        if answer.bill.kwh.low is not None and answer.bill.kwh.high is not None:
            assert enough
            assert 0.97 * answer.bill.kwh.low <= mine.kwh.value <= 1.03 * answer.bill.kwh.high


def test_the_bill_of_a_gpu_names_its_power_and_its_error(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(sweep.out.address.shown)
    asked = ["--examples", "1281167", "--epochs", "90", "--price", "2.5"]
    assert main(["predict", out, "--freeze", "prefix:*/3", *asked]) == 0
    said = " ".join(capsys.readouterr().out.split())
    power = anchor_power(group_of(sweep))
    assert power is not None
    assert f"kWh is the power of the anchors, {power.watts:.3g} W, times the time" in said
    assert "that took no part in it, the energy was off by" in said


def test_peaks_of_held_out_configurations_are_predicted(sweep: Sweep) -> None:
    group = group_of(sweep)
    ours = peak_errors(group.judged_peaks())
    assert ours is not None
    assert ours.mean_abs <= 0.05
    assert ours.max_abs <= 0.12
    assert ours.ordered_share is None or ours.ordered_share >= 0.98
    peaks: dict[str, list[tuple[int, int]]] = {}
    for row in sweep.rows(PredictionRow):
        if row.predicted_peak_bytes is not None and not row.is_anchor:
            measured = row.measured_peak_bytes or 0
            peaks.setdefault(row.predictor, []).append((row.predicted_peak_bytes, measured))
    for name in NAIVE_PEAKS:
        naive = peak_errors(peaks[name])
        assert naive is not None
        assert naive.mean_abs >= 3 * ours.mean_abs


def test_the_parts_add_up_to_the_predicted_peak(sweep: Sweep) -> None:
    predicted = {
        row.trial_id: row.predicted_peak_bytes
        for row in sweep.rows(PredictionRow)
        if row.predictor == "three_anchor"
    }
    for row in sweep.trial_rows():
        parts = (
            row.weights_bytes, row.optimizer_slots_bytes, row.input_bytes, row.activations_bytes,
            row.gradients_bytes, row.workspace_bytes,
        )  # fmt: skip
        known = [part for part in parts if part is not None]
        assert len(known) == len(parts)
        assert sum(known) == predicted[row.trial_id]


def test_what_holds_the_peak_is_explained(sweep: Sweep) -> None:
    anchor = next(row for row in sweep.trial_rows() if row.anchor == "pass_through")
    memory = explain(sweep, anchor.trial_id).memory
    assert memory is not None
    assert memory.is_calibrated
    assert memory.trial.total == pytest.approx(anchor.peak_memory_bytes, rel=0.01)
    assert memory.trial.total < memory.baseline.total
    assert "released: " in memory.words()


def test_the_program_of_an_anchor_is_its_own(sweep: Sweep) -> None:
    # Its process had compiled the programs of other trials, too; what runs needs what was measured.
    for row in sweep.trial_rows():
        if row.is_anchor and row.jit_resolved:
            program = [
                ProgramStep(
                    name=each.op_name,
                    op_type=each.op_type,
                    graph_ops=each.graph_ops,
                    inputs=each.inputs,
                    output_bytes=each.output_bytes,
                )
                for each in sweep.rows(ProgramOpRow, trials=[row.trial_id])
            ]
            alive = peak(program, [True] * len(program)).n_bytes
            held = (row.weights_bytes or 0) + (row.optimizer_slots_bytes or 0)
            needed = alive + held + (row.input_bytes or 0)
            assert needed == pytest.approx(row.peak_memory_bytes, rel=0.01)
