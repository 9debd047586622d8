"""Each rule by itself: names as grappler, inlining and XLA leave them, and where they lead."""

from dataclasses import replace

import pytest

from frostline.attribute.attribute import attribute
from frostline.attribute.costs import OpCost
from frostline.attribute.index import GraphIndex, Match
from frostline.attribute.names import canonical
from frostline.attribute.rules import (
    Context,
    Piece,
    copy_to_device,
    eager_op,
    in_graph,
    in_scope,
    input_pipeline,
    name_only,
    no_op_known,
    place,
)
from frostline.attribute.step_graph import GraphOp, Pass, StepGraph
from frostline.trace.ops import OpShare, Trace, TraceOp

FORWARD: Pass = "forward"
DX: Pass = "activation_gradient"
DW: Pass = "weight_gradient"


def g(name: str, op_type: str, layer: str | None, pass_: Pass = FORWARD) -> GraphOp:
    return GraphOp(op_name=name, op_type=op_type, layer=layer, pass_=pass_)


OPS = (
    g("net_1/a_1/Conv2D", "Conv2D", "a"),
    g("net_1/a_1/BiasAdd", "BiasAdd", "a"),
    g("net_1/a_1/Relu", "Relu", "a"),
    g("net_1/b_1/Conv2D", "Conv2D", "b"),
    g("net_1/b_1/BiasAdd", "BiasAdd", "b"),
    g("net_1/join_1/Add", "AddV2", "join"),
    g("net_1/norm_1/add_2", "AddV2", "norm"),
    g("net_1/pool_1/Cast_1", "Cast", "pool"),
    g("net_1/lstm_1/while", "While", "lstm"),
    g("net_1/lstm_1/while/net_1/lstm_1/while/cell/MatMul", "MatMul", "lstm"),
    g("gradient_tape/net_1/a_1/Conv2D/Conv2DBackpropFilter", "Conv2DBackpropFilter", "a", DW),
    g("gradient_tape/net_1/b_1/Conv2D/Conv2DBackpropInput", "Conv2DBackpropInput", "b", DX),
    g("gradient_tape/net_1/b_1/Conv2D/Conv2DBackpropFilter", "Conv2DBackpropFilter", "b", DW),
    g("gradient_tape/net_1/act_1/Gelu/Exp", "Exp", "act", DX),
    g("AddN_107", "AddN", None, DX),
    g("cond", "If", None, "optimizer"),
    g("cond/cond/sgd/Mul_48", "Mul", None, "optimizer"),
)
GRAPH = StepGraph(variables=("a/kernel", "b/kernel"), trained=("a/kernel", "b/kernel"), ops=OPS)


TWICE = "__inference_gelu_7"
BACK = "__inference___backward__conv_xla_5_6"
CALLED = StepGraph(
    variables=("a/kernel", "b/kernel"),
    trained=("a/kernel", "b/kernel"),
    ops=(
        replace(g("a/call", "StatefulPartitionedCall", "a", FORWARD), calls="__forward_conv_6"),
        g("a/call/read", "ReadVariableOp", "a", FORWARD),
        g("a/call/convolution", "Conv2D", "a", FORWARD),
        replace(g("a/gelu", "PartitionedCall", "a", FORWARD), calls=TWICE),
        g("a/gelu/Erf", "Erf", "a", FORWARD),
        replace(g("b/gelu", "PartitionedCall", "b", FORWARD), calls=TWICE),
        g("b/gelu/Erf", "Erf", "b", FORWARD),
        g("elsewhere/Erf", "Erf", "c", FORWARD),
        replace(g("back", "PartitionedCall", "a", DX), calls=BACK),
        g("back/gradients/Shape", "Shape", "a", "other"),
        g("back/gradients/convolution_grad/Input", "Conv2DBackpropInput", "a", DX),
        g("back/gradients/convolution_grad/Filter", "Conv2DBackpropFilter", "a", DW),
        replace(g("step", "StatefulPartitionedCall", None, FORWARD), calls="__inference_step_9"),
        g("step/net/Mul", "Mul", "a", FORWARD),
        g("step/net/Mul_grad", "Mul", "a", DX),
    ),
)


@pytest.mark.parametrize(
    ("program", "calls"),
    [
        ("a_forward_conv_6__.1(6)", ("a/call",)),
        ("a_forward_conv_6__.12", ("a/call",)),
        ("a_forward_conv_66__.1(6)", ()),
        ("a_inference_gelu_7__.1(2)", ("a/gelu", "b/gelu")),
        ("a_inference___backward__conv_xla_5_6__.1(10)", ("back",)),
        ("a_inference_step_9__.1(1)", ()),
        ("cluster_0(3)", ()),
        ("", ()),
    ],
)
def test_a_program_is_that_of_the_calls_of_its_function(program: str, calls: tuple[str, ...]):
    """The step itself, which holds several passes, is looked up by the names of its ops."""
    assert GraphIndex(CALLED).calls_of(program) == calls


@pytest.mark.parametrize(
    ("call", "name", "named", "expected"),
    [
        ("a/call", "convolution", (), Match("a", FORWARD, "call:exact")),
        ("b/gelu", "Erf", ("Erf",), Match("b", FORWARD, "call:exact")),
        ("a/call", "made/by/xla", ("convolution",), Match("a", FORWARD, "call:scope")),
        ("a/call", "", ("convolution",), Match("a", FORWARD, "call")),
        (
            "back", "", ("gradients/convolution_grad/Input",), Match("a", DW, "call:rest"),
        ),
        (
            "back", "",
            ("gradients/convolution_grad/Input", "gradients/convolution_grad/Filter"),
            Match("a", DX, "call"),
        ),
    ],
)  # fmt: skip
def test_instructions_of_a_function_are_its_ops(
    call: str, name: str, named: tuple[str, ...], expected: Match
):
    """GIVEN an instruction without a name THEN it computes what no other one names."""
    found = place(
        Piece(op_name=name, op_type="", in_input=False, call=call),
        Context(index=GraphIndex(CALLED), eager=False, named={call: named}),
    )
    assert found == expected


def test_layers_that_call_the_same_function_share_its_program():
    erf = OpShare(op_name="Erf", op_type="Erf", weight=1)
    op = TraceOp(
        device="/host:CPU", op_name="", op_type="fusion", hlo_op="fusion", kernel="", calls=4,
        self_ns=1001, shares=(erf,), program="a_inference_gelu_7__.1(2)", wait_ns=10,
    )  # fmt: skip
    trace = Trace(
        ops=(op,), steps=1, total_ns=1001, busy_ns=1001, between_ns=0, device_ns=1011, eager=False,
        warnings=(),
    )  # fmt: skip
    costs = attribute(trace, CALLED)
    assert {(cost.layer, cost.ns_per_step, cost.calls_per_step) for cost in costs} == {
        ("a", 501, 2), ("b", 500, 2),
    }  # fmt: skip
    assert {cost.graph_op for cost in costs} == {"a/gelu/Erf", "b/gelu/Erf"}


def piece(name: str, op_type: str = "Mul", *, in_input: bool = False) -> Piece:
    return Piece(op_name=name, op_type=op_type, in_input=in_input)


def context(*profiled: str, graph: StepGraph | None = GRAPH, eager: bool = False) -> Context:
    return Context(index=GraphIndex(graph, profiled) if graph else None, eager=eager)


@pytest.mark.parametrize(
    ("name", "op_type", "expected"),
    [
        ("net_1/a_1/Conv2D", "_MklNativeConv2D", Match("a", FORWARD, "exact")),
        ("AddN_107", "AddN", Match(None, DX, "exact")),
        (
            "gradient_tape/net_1/a_1/Conv2D/Conv2DBackpropFilter",
            "_MklNativeConv2DBackpropFilterWithBias",
            Match("a", DW, "exact"),
        ),
        ("StatefulPartitionedCall/net_1/a_1/Relu", "Relu", Match("a", FORWARD, "inlined")),
        (
            "StatefulPartitionedCall/StatefulPartitionedCall_2/net_1/a_1/Relu",
            "Relu",
            Match("a", FORWARD, "inlined"),
        ),
        ("cond/then/_0/cond/sgd/Mul_48", "Mul", Match(None, "optimizer", "inlined")),
        (
            "net_1/lstm_1/while/body/_109/net_1/lstm_1/while/cell/MatMul",
            "_MklMatMul",
            Match("lstm", FORWARD, "inlined"),
        ),
        ("net_1/lstm_1/while/cell/MatMul", "MatMul", Match("lstm", FORWARD, "exact")),
        (
            "net_1/norm_1/ArithmeticOptimizer/AddOpsRewrite_Leaf_1_add_2",
            "AddN",
            Match("norm", FORWARD, "grappler:arithmetic"),
        ),
        (
            "net_1/pool_1/ArithmeticOptimizer/ReorderCastLikeAndValuePreserving_float_Cast_1",
            "Cast",
            Match("pool", FORWARD, "grappler:arithmetic"),
        ),
        (
            "gradient_tape/net_1/act_1/Gelu/Exp/unary_ops_composition",
            "_UnaryOpsComposition",
            Match("act", DX, "grappler:composition"),
        ),
        (
            "gradient_tape/net_1/b_1/Conv2D/Conv2DBackpropFilter-0-TransposeNHWCToNCHW-"
            "LayoutOptimizer",
            "Transpose",
            Match("b", DW, "grappler:layout"),
        ),
        (
            "net_1/a_1/Relu-0-1-TransposeNCHWToNHWC-LayoutOptimizer",
            "Transpose",
            Match("a", FORWARD, "grappler:layout"),
        ),
        ("net_1/a_1/Relu/_123", "_Send", Match("a", FORWARD, "grappler:edge")),
        (
            "net_1/a_1/Relu-0-CastToFp16-AutoMixedPrecision",
            "Cast",
            Match("a", FORWARD, "grappler:cast"),
        ),
        (
            "ConstantFolding/net_1/norm_1/add_2-folded-0",
            "Const",
            Match("norm", FORWARD, "grappler:folding"),
        ),
        (
            "ConstantFolding/net_1/norm_1/add_2_recip",
            "Reciprocal",
            Match("norm", FORWARD, "grappler:folding"),
        ),
    ],
)
def test_names_lead_back_to_the_graph(name: str, op_type: str, expected: Match):
    assert in_graph(piece(name, op_type), context()) == expected


def test_a_name_the_graph_does_not_know_is_not_matched():
    assert in_graph(piece("somewhere/else/Mul"), context()) is None
    assert in_graph(piece("net_1/a_1/Conv2D"), context(graph=None)) is None


def test_a_convolution_fused_into_another_layers_op_counts_for_its_own_layer():
    """`b`'s convolution, bias and the addition of another layer run as one op named after `Add`."""
    profiled = context("net_1/a_1/Relu", "net_1/join_1/Add", "net_1/a_1/Conv2D")
    match = in_graph(piece("net_1/join_1/Add", "_MklNativeFusedConv2D"), profiled)
    assert match == Match("b", FORWARD, "grappler:fused")


def test_a_convolution_fused_within_its_layer_keeps_the_name_it_has():
    profiled = context("net_1/a_1/Relu", "net_1/b_1/BiasAdd")
    match = in_graph(piece("net_1/a_1/Relu", "_FusedConv2D"), profiled)
    assert match == Match("a", FORWARD, "exact")


def test_ops_of_one_inner_name_that_disagree_are_not_guessed():
    ops = (
        g("w1", "While", "x"),
        g("w1/body/MatMul", "MatMul", "x"),
        g("w2", "While", "y"),
        g("w2/body/MatMul", "MatMul", "y"),
    )
    graph = StepGraph(variables=(), trained=(), ops=ops)
    assert in_graph(piece("body/MatMul"), context(graph=graph)) is None


def test_an_unknown_op_in_a_scope_of_one_layer_and_pass_belongs_there():
    assert in_scope(piece("net_1/a_1/new_op"), context()) == Match("a", FORWARD, "scope")
    assert in_scope(piece("gradient_tape/net_1/b_1/Conv2D/new_op"), context()) is None
    assert in_scope(piece("unheard/of"), context()) is None


@pytest.mark.parametrize("op_type", ["MemcpyH2D", "MemcpyHtoD"])
def test_copies_to_the_device_are_input(op_type: str):
    assert copy_to_device(piece("net_1/a_1/Relu/_1", op_type), context()) == Match(
        None, "input", "copy:h2d"
    )
    assert copy_to_device(piece("net_1/a_1/Relu", "MemcpyD2H"), context()) is None


@pytest.mark.parametrize(
    "item",
    [
        piece("Iterator::Root::Prefetch", "Dataset"),
        piece("IteratorGetNext", "IteratorGetNext"),
        piece("PyFunc", "PyFunc"),
        piece("flip/ReverseV2", "ReverseV2", in_input=True),
    ],
)
def test_the_input_pipeline_is_input(item: Piece):
    assert input_pipeline(item, context()) == Match(None, "input", "input")
    assert input_pipeline(piece("net_1/a_1/Relu", "Relu"), context()) is None
    ahead = replace(item, in_input=True, ahead=True)
    assert input_pipeline(ahead, context()) == Match(None, "input", "input:ahead")


def test_python_inside_of_the_step_is_not_the_input_pipelines():
    ops = (*OPS, g("reward/PyFunc", "PyFunc", "reward"))
    inside = context(graph=replace(GRAPH, ops=ops))
    found = place(piece("reward/PyFunc", "PyFunc"), inside)
    assert (found.layer, found.pass_) == ("reward", "forward")
    assert place(piece("PyFunc", "PyFunc"), inside).pass_ == "input"


def test_eager_ops_are_other_and_say_so():
    eager = context(graph=None, eager=True)
    assert place(piece("Conv2DBackpropFilter", "Conv2DBackpropFilter"), eager) == Match(
        None, "other", "eager"
    )
    assert place(piece("copy", "MemcpyH2D"), eager).pass_ == "input"
    assert eager_op(piece("a"), context()) is None


def test_what_names_no_op_is_other():
    assert no_op_known(piece(""), context()) == Match(None, "other", "nameless")
    assert place(piece("nowhere"), context()) == Match(None, "other", "unmatched")


@pytest.mark.parametrize(
    ("name", "op_type", "expected"),
    [
        ("Enc/c1/Conv2D", "Conv2D", ("Enc/c1", FORWARD, "name:forward")),
        ("Enc/c1/Relu", "_FusedConv2D", ("Enc/c1", FORWARD, "name:forward")),
        ("net/norm/batchnorm/mul_1", "Mul", ("net/norm", FORWARD, "name:forward")),
        ("replica_4/bert/layer_5/dropout/Mul", "Mul", ("bert/layer_5", FORWARD, "name:forward")),
        ("net/dropout_1/dropout/Mul", "Mul", ("net/dropout_1", FORWARD, "name:forward")),
        ("net/dropout/dropout/Mul", "Mul", ("net/dropout", FORWARD, "name:forward")),
        (
            "gradient_tape/Enc/c1/Conv2D/Conv2DBackpropFilter",
            "Conv2DBackpropFilter",
            ("Enc/c1", DW, "name:weight_gradient"),
        ),
        (
            "gradient_tape/Enc/c1/BiasAdd/BiasAddGrad",
            "BiasAddGrad",
            ("Enc/c1", DW, "name:weight_gradient"),
        ),
        (
            "gradient_tape/Enc/d/MatMul/MatMul_1",
            "_MklMatMul",
            ("Enc/d", DW, "name:weight_gradient"),
        ),
        (
            "gradient_tape/Enc/c1/Conv2D/Conv2DBackpropFilter-0-TransposeNHWCToNCHW-"
            "LayoutOptimizer",
            "Transpose",
            ("Enc/c1", DW, "name:weight_gradient"),
        ),
        (
            "gradient_tape/Enc/c1/Conv2D/Conv2DBackpropInput",
            "Conv2DBackpropInput",
            ("Enc/c1", DX, "name:activation_gradient"),
        ),
        (
            "gradient_tape/Dec/up/conv2d_transpose/Conv2D",
            "Conv2D",
            ("Dec/up/conv2d_transpose", DX, "name:activation_gradient"),
        ),
        (
            "gradient_tape/Enc/pool/MaxPool/MaxPoolGrad",
            "MaxPoolGrad",
            ("Enc/pool", DX, "name:activation_gradient"),
        ),
        ("gradient_tape/Enc/d/MatMul/MatMul", "MatMul", ("Enc/d", "other", "name:undecided")),
        ("gradient_tape/Enc/c1/ReluGrad", "ReluGrad", ("Enc/c1", "other", "name:undecided")),
        (
            "gradient_tape/att/MatMul/MatMul_1",
            "BatchMatMulV2",
            ("att", "other", "name:undecided"),
        ),
        (
            "gradient_tape/net/norm/FusedBatchNormGradV3",
            "FusedBatchNormGradV3",
            ("net/norm", "other", "name:undecided"),
        ),
        (
            "Adam/Adam/update_8/ResourceApplyAdam",
            "ResourceApplyAdam",
            (None, "optimizer", "name:optimizer"),
        ),
        ("adam/mul_12", "Mul", (None, "optimizer", "name:optimizer")),
        ("jit(f)/jvp()/dot_general", "dot_general", (None, FORWARD, "name:forward")),
        ("jit(f)/transpose(jvp())/dot_general", "", (None, "other", "name:undecided")),
    ],
)
def test_without_a_graph_names_decide_as_far_as_they_do(
    name: str, op_type: str, expected: tuple[str | None, Pass, str]
):
    assert name_only(piece(name, op_type), context(graph=None)) == Match(*expected)


@pytest.mark.parametrize(
    "name", ["MatMul", "jit(f)/jit(main)/add", "truediv_2", "Add_2/ReadVariableOp"]
)
def test_without_a_graph_names_without_a_scope_decide_nothing(name: str):
    assert name_only(piece(name), context(graph=None)) is None


def test_with_a_graph_names_alone_decide_nothing():
    assert name_only(piece("Enc/c1/Conv2D", "Conv2D"), context()) is None


def test_canonical_names_are_stable():
    name = "StatefulPartitionedCall/cond/then/_0/cond/cond/else/_257/cond/cond/Add"
    assert canonical(name) == "cond/cond/cond/cond/cond/Add"
    assert canonical(canonical(name)) == canonical(name)


def test_rows_that_differ_only_in_time_become_one():
    ops = [
        TraceOp(
            device="/host:CPU", op_name="net_1/a_1/Relu", op_type="Relu", hlo_op="",
            kernel="", calls=2, self_ns=ns, typical_ns=ns, wait_ns=4, typical_wait_ns=2,
            short_calls=2,
        )
        for ns in (10, 20)
    ]  # fmt: skip
    trace = Trace(
        ops=tuple(ops), steps=2, total_ns=30, busy_ns=30, between_ns=1, device_ns=39, eager=False,
        warnings=(),
    )  # fmt: skip
    assert tuple(
        replace(cost, wait_ns_per_step=0, typical_wait_ns_per_step=0)
        for cost in attribute(trace, replace(GRAPH, ops=GRAPH.ops[2:3]))
    ) == (
        OpCost(
            layer="a", pass_="forward", op_type="Relu", op_name="net_1/a_1/Relu",
            device="/host:CPU", calls_per_step=2.0, ns_per_step=15, rule="exact",
            graph_op="net_1/a_1/Relu", typical_ns_per_step=30, typical_wait_ns_per_step=0,
            short_calls_per_step=2.0,
        ),
    )  # fmt: skip
