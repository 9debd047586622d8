"""Who waits, and what an op takes in a typical step: traces built event by event."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from xspace_writer import Event, Line, Plane, write_xspace

from frostline.attribute.attribute import attribute
from frostline.attribute.costs import device_time, per_step
from frostline.attribute.step_graph import GraphOp, StepGraph
from frostline.results.profile_columns import profile_columns
from frostline.trace.converter import TraceConverter
from frostline.trace.ops import Trace, TraceOp, in_training_steps

STEP_US = 1000


@pytest.fixture(scope="module")
def converter() -> Iterator[TraceConverter]:
    with TraceConverter() as running:
        yield running


def convert(converter: TraceConverter, folder: Path, *planes: Plane, steps: int = 2) -> Trace:
    marks = [
        Event("train", number * STEP_US, STEP_US - 10, {"step_num": number, "_r": 1})
        for number in range(steps)
    ]
    path = write_xspace(
        folder / "vm.xplane.pb", [Plane("/host:CPU", [Line(1, "python", marks)]), *planes]
    )
    trace = converter.convert(path, deadline_s=60)
    assert trace.device_ns == trace.busy_ns + trace.between_ns + trace.wait_ns
    return trace


def gpu(*streams: Sequence[Event]) -> Plane:
    lines = [Line(13 + i, f"Stream #{13 + i}(Compute)", s) for i, s in enumerate(streams)]
    return Plane("/device:GPU:0", lines)


def kernel(name: str, start_us: float, duration_us: float) -> Event:
    return Event("k", start_us, duration_us, {"tf_op": f"{name}:Relu", "correlation_id": 1})


def by_name(trace: Trace) -> dict[str, TraceOp]:
    return {op.op_name: op for op in trace.ops}


def test_idle_time_within_a_step_is_the_next_ops_and_between_steps_nobodys(
    converter: TraceConverter, tmp_path: Path
) -> None:
    stream = [
        kernel("a", 100, 50), kernel("b", 170, 30), kernel("c", 200, 3),
        kernel("a", 1100, 50), kernel("b", 1180, 30), kernel("c", 1250, 4),
    ]  # fmt: skip
    trace = convert(converter, tmp_path, gpu(stream))
    waits = {name: op.wait_ns for name, op in by_name(trace).items()}
    assert waits == {"a": 0, "b": 20_000 + 30_000, "c": 0 + 40_000}
    assert trace.busy_ns == 2 * 80_000 + 7_000
    # From the first step's start, between the steps, and until the last step's end.
    assert trace.between_ns == 100_000 + (1100 - 203) * 1000 + (1990 - 1254) * 1000
    assert trace.device_ns == 1_990_000
    assert {name: op.short_calls for name, op in by_name(trace).items()} == {"a": 0, "b": 0, "c": 2}


def test_a_stream_that_works_keeps_the_device_busy(
    converter: TraceConverter, tmp_path: Path
) -> None:
    one = [kernel("a", 100, 100), kernel("b", 250, 50)]
    other = [kernel("copy", 120, 100), kernel("tail", 290, 40)]
    trace = convert(converter, tmp_path, gpu(one, other), steps=1)
    waits = {name: op.wait_ns for name, op in by_name(trace).items()}
    assert waits == {"a": 0, "copy": 0, "b": 30_000, "tail": 0}
    assert trace.busy_ns == 120_000 + 80_000


def test_a_kernel_that_overlaps_its_steps_end_is_counted_once(
    converter: TraceConverter, tmp_path: Path
) -> None:
    # GIVEN a kernel of the first step that runs into the second, and starts before its first one
    late = kernel("late", 950, 100)
    stream = [kernel("a", 100, 50), late, kernel("a", 1080, 50), kernel("late", 1940, 80)]
    trace = convert(converter, tmp_path, gpu(stream))
    assert by_name(trace)["late"].self_ns == 180_000
    assert by_name(trace)["late"].wait_ns == (950 - 150) * 1000 + (1940 - 1130) * 1000
    assert trace.busy_ns == 280_000
    # Nothing is idle between the steps but from 1050 to 1080, and the last kernel ends too late.
    assert trace.between_ns == 100_000 + 30_000
    assert trace.device_ns == 2_020_000


def test_every_device_has_its_own_waits(converter: TraceConverter, tmp_path: Path) -> None:
    stream = [kernel("a", 100, 50), kernel("b", 170, 30)]
    second = Plane("/device:GPU:1", [Line(13, "Stream #13", [kernel("a", 100, 50)])])
    trace = convert(converter, tmp_path, gpu(stream), second, steps=1)
    assert trace.device_ns == 2 * 990_000
    assert sum(op.wait_ns for op in trace.ops) == 20_000


# An op of several kernels whose length differs, in four steps; one step was disturbed.
KERNELS_US = [(60, 4, 6), (62, 4, 6), (300, 4, 6), (61, 5, 6)]


def test_what_an_op_typically_takes_is_the_median_step(
    converter: TraceConverter, tmp_path: Path
) -> None:
    stream = [
        kernel("dw", number * STEP_US + start, length)
        for number, lengths in enumerate(KERNELS_US)
        for start, length in zip((100, 500, 600), lengths, strict=True)
    ]
    # In half of the steps, `once` runs.
    stream += [kernel("once", 700, 8), kernel("once", 2700, 6)]
    ops = by_name(convert(converter, tmp_path, gpu(stream), steps=4))
    totals = [sum(lengths) for lengths in KERNELS_US]  # 70, 72, 310, 72
    assert ops["dw"].typical_ns == 72_000
    # It is none of the statistics that it could be taken for.
    lengths = sorted(length for lengths in KERNELS_US for length in lengths)
    median_event = (lengths[5] + lengths[6]) / 2
    assert 3 * median_event != 72  # calls x the median event
    assert sum(totals) / 4 != 72  # the mean step
    assert totals[0] != 72  # the first step
    assert ops["once"].typical_ns == 3_000  # between 0 and 6: it is part of every other step


def test_waits_have_a_typical_step_too(converter: TraceConverter, tmp_path: Path) -> None:
    stream = [
        event
        for number, wait in enumerate((10, 12, 400))
        for event in (
            kernel("a", number * STEP_US + 100, 50),
            kernel("b", number * STEP_US + 150 + wait, 5),
        )
    ]
    op = by_name(convert(converter, tmp_path, gpu(stream), steps=3))["b"]
    assert op.typical_wait_ns == 12_000
    assert op.wait_ns == 422_000


def test_a_mark_around_a_cycle_of_steps_counts_for_each_of_them(
    converter: TraceConverter, tmp_path: Path
) -> None:
    # GIVEN gradient accumulation over four steps, each cycle marked once
    stream = [
        event
        for number in range(2)
        for event in (
            kernel("a", number * STEP_US + 100, 40), kernel("b", number * STEP_US + 148, 8),
        )
    ]  # fmt: skip
    trace = in_training_steps(convert(converter, tmp_path, gpu(stream)), 4)
    costs = {cost.op_name: cost for cost in attribute(trace, None)}
    assert trace.steps == 8
    assert (costs["a"].ns_per_step, costs["a"].typical_ns_per_step) == (10_000, 10_000)
    assert (costs["b"].wait_ns_per_step, costs["b"].typical_wait_ns_per_step) == (2_000, 2_000)


GRAPH = StepGraph(
    variables=("a/kernel", "b/kernel"),
    trained=("a/kernel", "b/kernel"),
    ops=(
        GraphOp(op_name="a/Conv2D", op_type="Conv2D", layer="a", pass_="forward"),
        GraphOp(op_name="a/shape", op_type="Const", layer="a", pass_="forward"),
        GraphOp(op_name="a/Relu", op_type="Relu", layer="a", pass_="forward"),
        GraphOp(
            op_name="b/dX", op_type="Mul", layer="b", pass_="activation_gradient", needed_by=(0,)
        ),
        GraphOp(op_name="b/dW", op_type="Mul", layer="b", pass_="weight_gradient", needed_by=(1,)),
        GraphOp(op_name="b/dW2", op_type="Mul", layer="b", pass_="weight_gradient", needed_by=(1,)),
        GraphOp(op_name="update", op_type="AssignVariableOp", layer="a", pass_="optimizer"),
        GraphOp(op_name="pruned", op_type="Mul", layer=None, pass_="other"),
    ),
)


def host_trace(converter: TraceConverter, folder: Path) -> Trace:
    """Two steps whose executor works from 100 to 400 us, of which one op took 120 us."""
    events = [
        event
        for start in (0, STEP_US)
        for event in (
            Event("ExecutorState::Process", start + 100, 200, {"iter_num": 0}),
            Event("a/Conv2D:Conv2D", start + 150, 120, {"is_eager": 0}),
            Event("ExecutorState::Process", start + 350, 50, {"iter_num": 0}),
        )
    ]
    steps = [
        Event("train", number * STEP_US, STEP_US - 10, {"step_num": number, "_r": 1})
        for number in range(2)
    ]
    lines = [Line(1, "python", steps), Line(7, "tf_Compute/1", events)]
    path = write_xspace(folder / "vm.xplane.pb", [Plane("/host:CPU", lines)])
    return converter.convert(path, deadline_s=60)


def test_on_a_host_the_executors_idle_time_is_dispatch_shared_by_the_ops_that_ran(
    converter: TraceConverter, tmp_path: Path
) -> None:
    trace = host_trace(converter, tmp_path)
    costs = attribute(trace, GRAPH)
    # THEN of 300 us, 180 us are shared by six ops; the constant and what is pruned never ran
    waits = {(cost.layer, cost.pass_): 0 for cost in costs}
    for cost in costs:
        waits[cost.layer, cost.pass_] += cost.wait_ns_per_step
    assert waits == {
        ("a", "forward"): 60_000,
        ("b", "activation_gradient"): 30_000,
        ("b", "weight_gradient"): 60_000,
        ("a", "optimizer"): 30_000,
    }
    seen = [cost for cost in costs if cost.rule != "dispatch"]
    assert [(cost.op_name, cost.ns_per_step) for cost in seen] == [("a/Conv2D", 120_000)]
    assert sum(cost.ns_per_step for cost in costs) == per_step(trace.total_ns, trace.steps)


def test_a_pass_of_which_nothing_was_seen_is_null_and_its_ops_are_counted(
    converter: TraceConverter, tmp_path: Path
) -> None:
    trace = host_trace(converter, tmp_path)
    row = profile_columns(trace, attribute(trace, GRAPH), GRAPH)
    assert row.forward_ns == 120_000  # a lower bound: one op of two left an event
    assert row.activation_gradient_ns is None
    assert row.weight_gradient_ns is None
    assert row.optimizer_ns is None
    assert row.unobserved_ops == 5
    assert (
        row.unobserved_forward_ops,
        row.unobserved_activation_gradient_ops,
        row.unobserved_weight_gradient_ops,
        row.unobserved_optimizer_ops,
    ) == (1, 1, 2, 1)
    assert row.weight_gradient_wait_ns == 60_000
    device = device_time(trace)
    assert row.waiting_ns == device.wait_ns + device.between_ns == 995_000 - 120_000
    assert row.between_steps_ns == 995_000 - 300_000


def test_a_pass_that_did_not_run_is_zero(converter: TraceConverter, tmp_path: Path) -> None:
    forward_only = StepGraph(variables=GRAPH.variables, trained=(), ops=GRAPH.ops[:3])
    trace = host_trace(converter, tmp_path)
    row = profile_columns(trace, attribute(trace, forward_only), forward_only)
    assert (row.activation_gradient_ns, row.optimizer_ns) == (0, 0)


def test_without_the_steps_graph_the_time_after_the_last_event_is_the_executors(
    converter: TraceConverter, tmp_path: Path
) -> None:
    trace = host_trace(converter, tmp_path)
    costs = attribute(trace, None)
    assert {(cost.op_type, cost.rule): cost.wait_ns_per_step for cost in costs} == {
        ("Conv2D", "name:forward"): 50_000,
        ("Executor", "dispatch"): 130_000,
    }
    row = profile_columns(trace, costs, None)
    assert row.unobserved_ops is None
