"""Nothing is lost and nothing invented: apportioning, rounding, and attribution as a whole."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.attribute.attribute import attribute, attributed_fraction
from frostline.attribute.costs import OpCost, apportion, check_conserved, device_time, per_step
from frostline.attribute.frozen import check_frozen
from frostline.attribute.step_graph import PASSES, GraphOp, StepGraph
from frostline.errors import ConservationError, CreditError
from frostline.trace.ops import OpShare, Trace, TraceOp

WEIGHTS = st.lists(st.integers(0, 10**12), min_size=1, max_size=40)


@given(total=st.integers(0, 10**15), weights=WEIGHTS)
def test_parts_add_up_and_none_is_off_by_one_nanosecond(total: int, weights: list[int]):
    parts = apportion(total, weights)
    assert sum(parts) == total
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        share = Fraction(total * weight, whole) if whole else Fraction(total, len(weights))
        assert abs(part - share) < 1


def test_nothing_to_split_needs_no_weights():
    assert apportion(0, []) == []
    with pytest.raises(ValueError, match="no weights"):
        apportion(1, [])


@given(total_ns=st.integers(0, 10**15), steps=st.integers(1, 1000))
def test_time_per_step_is_rounded_half_to_even(total_ns: int, steps: int):
    assert per_step(total_ns, steps) == round(Fraction(total_ns, steps))


NAMES = st.sampled_from(
    [
        "net/conv/Conv2D",
        "net/conv/Relu",
        "gradient_tape/net/conv/Conv2D/Conv2DBackpropFilter",
        "sgd/AssignSub",
        "AddN_7",
        "",
    ]
)
SHARES = st.lists(
    st.builds(OpShare, op_name=NAMES, op_type=st.just("Mul"), weight=st.integers(1, 10**6)),
    max_size=4,
).map(tuple)
OPS = st.lists(
    st.builds(
        TraceOp,
        device=st.sampled_from(["/host:CPU", "/device:GPU:0"]),
        op_name=NAMES,
        op_type=st.sampled_from(["Conv2D", "MemcpyH2D", "Mul"]),
        hlo_op=st.sampled_from(["", "fusion.1", "dot"]),
        kernel=st.just(""),
        calls=st.integers(1, 50),
        self_ns=st.integers(0, 10**10),
        wait_ns=st.integers(0, 10**10),
        shares=SHARES,
    ),
    max_size=12,
)
GRAPH = StepGraph(
    variables=("net/conv/kernel",),
    trained=("net/conv/kernel",),
    ops=(
        GraphOp(op_name="net/conv/Conv2D", op_type="Conv2D", layer="net/conv", pass_="forward"),
        GraphOp(
            op_name="gradient_tape/net/conv/Conv2D/Conv2DBackpropFilter",
            op_type="Conv2DBackpropFilter",
            layer="net/conv",
            pass_="weight_gradient",
            needed_by=(0,),
        ),
    ),
)


def trace_of(ops: list[TraceOp], steps: int = 1, *, eager: bool = False) -> Trace:
    return Trace(
        ops=tuple(ops),
        steps=steps,
        total_ns=sum(op.self_ns for op in ops),
        busy_ns=5,
        between_ns=3,
        device_ns=8 + sum(op.wait_ns for op in ops),
        eager=eager,
        warnings=(),
    )


@given(
    ops=OPS,
    steps=st.integers(1, 9),
    graph=st.sampled_from([None, GRAPH]),
    eager=st.booleans(),
)
def test_every_nanosecond_is_somewhere(
    ops: list[TraceOp], steps: int, graph: StepGraph | None, eager: bool
):
    trace = trace_of(ops, steps, eager=eager)
    costs = attribute(trace, graph)
    assert sum(cost.ns_per_step for cost in costs) == round(Fraction(trace.total_ns, steps))
    assert all(cost.ns_per_step >= 0 and cost.pass_ in PASSES and cost.rule for cost in costs)
    calls = sum(op.calls * max(len(op.shares), 1) for op in ops)
    observed = [cost for cost in costs if cost.rule != "dispatch"]
    assert sum(cost.calls_per_step for cost in observed) == pytest.approx(calls / steps)
    device = device_time(trace)
    assert device.busy_ns + device.wait_ns + device.between_ns == per_step(trace.device_ns, steps)
    # Without an op there is nobody to wait.
    assert sum(cost.wait_ns_per_step for cost in costs) == (device.wait_ns if ops else 0)
    assert all(cost.wait_ns_per_step >= 0 for cost in costs)


def op(name: str, self_ns: int, **changes: object) -> TraceOp:
    fields: dict[str, object] = {
        "device": "/host:CPU", "op_name": name, "op_type": "Mul", "hlo_op": "",
        "kernel": "", "calls": 1, "self_ns": self_ns,
    }  # fmt: skip
    return TraceOp(**{**fields, **changes})  # type: ignore[arg-type]


def cost(ns: int) -> OpCost:
    return OpCost(
        layer=None, pass_="other", op_type="", op_name="a", device="", calls_per_step=1,
        ns_per_step=ns, rule="unmatched",
    )  # fmt: skip


def test_what_does_not_add_up_is_refused():
    check_conserved(7, [cost(3), cost(4)])
    with pytest.raises(ConservationError, match=r"6 ns.*7 ns.*-1 ns"):
        check_conserved(7, [cost(3), cost(3)])


def test_a_trace_that_contradicts_itself_is_refused():
    trace = Trace(
        ops=(op("a", 5),), steps=1, total_ns=6, busy_ns=0, between_ns=0, device_ns=0, eager=False,
        warnings=(),
    )  # fmt: skip
    with pytest.raises(ConservationError):
        attribute(trace, None)


def test_idle_time_that_is_nobodys_is_refused():
    trace = trace_of([op("a", 5, wait_ns=4)])
    attribute(trace, None)
    with pytest.raises(ConservationError):
        attribute(replace(trace, device_ns=trace.device_ns + 1), None)


def test_a_fusion_is_split_by_weight_and_its_parts_keep_its_calls():
    shares = (
        OpShare(op_name="net/conv/Conv2D", op_type="Conv2D", weight=3),
        OpShare(op_name="nowhere", op_type="Mul", weight=1),
    )
    fused = op("", 1000, hlo_op="fusion.1", shares=shares, calls=4)
    forward, unmatched = attribute(trace_of([fused], steps=2), GRAPH)
    assert (forward.ns_per_step, forward.layer, forward.pass_) == (375, "net/conv", "forward")
    assert (unmatched.ns_per_step, unmatched.pass_) == (125, "other")
    assert (forward.rule, unmatched.rule) == ("hlo:exact", "hlo:unmatched")
    assert forward.calls_per_step == unmatched.calls_per_step == 2


def gradient_of(name: str, needed_by: tuple[int, ...]) -> GraphOp:
    return GraphOp(
        op_name=name, op_type="Mul", layer="net/conv", pass_="weight_gradient", needed_by=needed_by
    )


def dw(**changes: object) -> OpCost:
    fields: dict[str, object] = {
        "layer": "net/conv", "pass_": "weight_gradient", "op_type": "Mul", "op_name": "op",
        "device": "", "calls_per_step": 1, "ns_per_step": 0, "rule": "exact", "graph_op": "op",
    }  # fmt: skip
    return OpCost(**{**fields, **changes})  # type: ignore[arg-type]


TWO = StepGraph(
    variables=("net/conv/kernel", "net/conv/bias"),
    trained=("net/conv/kernel", "net/conv/bias"),
    ops=(gradient_of("op", (0,)), gradient_of("bias_grad", (1,)), gradient_of("nobody", ())),
)


def test_weight_gradients_of_a_frozen_layer_are_a_defect():
    frozen = StepGraph(variables=GRAPH.variables, trained=(), ops=GRAPH.ops)
    gradient = op("gradient_tape/net/conv/Conv2D/Conv2DBackpropFilter", 10)
    with pytest.raises(CreditError, match="net/conv, for net/conv/kernel, which is frozen"):
        attribute(trace_of([gradient]), frozen)


def test_where_a_bias_alone_is_frozen_the_kernel_has_its_gradient_and_the_bias_none():
    check_frozen([dw()], TWO, frozen_variables=["net/conv/bias"])
    with pytest.raises(CreditError, match="for net/conv/bias, which is frozen"):
        check_frozen([dw(graph_op="bias_grad")], TWO, frozen_variables=["net/conv/bias"])


def test_a_weight_gradient_that_no_variable_needs_is_a_defect():
    with pytest.raises(CreditError, match="no variable needs it"):
        check_frozen([dw(graph_op="nobody")], TWO, frozen_variables=[])


def test_a_row_placed_by_its_scope_is_as_wrong_as_the_ops_there():
    by_scope = dw(graph_op=None, rule="scope")
    with pytest.raises(CreditError, match="cannot place"):
        check_frozen([by_scope], TWO, frozen_variables=["net/conv/kernel"])
    check_frozen([by_scope], StepGraph(variables=(), trained=(), ops=()), frozen_variables=[])


def test_without_a_graph_the_frozen_layers_are_checked():
    row = dw(graph_op=None, rule="name:weight_gradient")
    check_frozen([row], None, frozen_variables=["net/conv/bias"])
    with pytest.raises(CreditError, match="in which nothing trains"):
        check_frozen([row], None, frozen_variables=["a"], frozen_layers=["net/conv"])


@given(
    rows=st.lists(
        st.tuples(st.sampled_from(PASSES), st.sampled_from(["op", "bias_grad", None])), max_size=6
    ),
    frozen=st.sets(st.sampled_from(TWO.variables)),
)
def test_what_passes_the_check_credits_no_frozen_variable(
    rows: list[tuple[str, str | None]], frozen: set[str]
):
    costs = [dw(pass_=pass_, graph_op=graph_op) for pass_, graph_op in rows]
    sound = StepGraph(variables=TWO.variables, trained=TWO.trained, ops=TWO.ops[:2])
    for_variable = {"op": "net/conv/kernel", "bias_grad": "net/conv/bias"}
    credited = {
        for_variable.get(graph_op or "")
        for pass_, graph_op in rows
        if pass_ == "weight_gradient" and graph_op
    }
    scoped = ("weight_gradient", None) in rows
    if credited & frozen or (scoped and frozen):
        with pytest.raises(CreditError):
            check_frozen(costs, sound, frozen_variables=frozen)
    else:
        check_frozen(costs, sound, frozen_variables=frozen)


def test_the_attributed_fraction_counts_everything_but_other():
    costs = attribute(trace_of([op("net/conv/Conv2D", 75), op("nowhere", 25)]), GRAPH)
    assert attributed_fraction(costs) == 0.75
    assert attributed_fraction(()) is None
