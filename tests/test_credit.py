"""Which layer an op belongs to: where variables are used, and what a gradient's name tells."""

from __future__ import annotations

from frostline.attribute.credit import (
    UNKNOWN,
    BackwardOps,
    ForwardNames,
    Unknown,
    credit_backward,
)
from frostline.attribute.uses import ALIAS, ParameterFlow, adopted, uses


def flow(*vertices: tuple[str | None, tuple[int, ...]], data: set[int]) -> ParameterFlow:
    return ParameterFlow(
        sources=[reads for _, reads in vertices],
        creators=[creator for creator, _ in vertices],
        data=data,
    )


def test_a_layer_is_used_where_its_variable_first_meets_data() -> None:
    # GIVEN x -> dense(read, cast, matmul) -> relu of another layer
    parameters = flow(
        (ALIAS, ()),  # 0 x
        (ALIAS, ()),  # 1 kernel
        ("dense", (1,)),  # 2 read
        ("dense", (2,)),  # 3 cast
        ("dense", (0, 3)),  # 4 matmul
        ("relu", (4,)),  # 5
        data={0},
    )
    found = uses(parameters, {"dense": {1}})["dense"]
    assert found.inside == {4}
    assert found.pure_inside == {2, 3}
    assert found.meets == {4}


def test_adding_a_table_of_positions_is_no_use_of_the_layer_that_made_it() -> None:
    # GIVEN a position embedding that gathers by constants, added to data by another layer
    parameters = flow(
        (ALIAS, ()),  # 0 x
        (ALIAS, ()),  # 1 table
        ("positions", (1,)),  # 2 gather
        ("add", (0, 2)),  # 3
        data={0},
    )
    found = uses(parameters, {"positions": {1}})["positions"]
    assert not found.meets
    assert found.pure_inside == {2}


def test_tied_weights_read_by_the_model_are_a_use_and_the_product_belongs_to_their_layer() -> None:
    # GIVEN an embedding whose matrix the model itself transposes and multiplies with
    parameters = flow(
        (ALIAS, ()),  # 0 ids
        (ALIAS, ()),  # 1 matrix
        ("embedding", (0, 1)),  # 2 gather
        ("", (1,)),  # 3 read
        ("", (3,)),  # 4 transpose
        ("", (2, 4)),  # 5 matmul
        data={0},
    )
    found = uses(parameters, {"embedding": {1}})
    assert found["embedding"].inside == {2}
    assert found["embedding"].outside == {5}
    assert adopted(found, parameters.creators, "") == {
        3: "embedding",
        4: "embedding",
        5: "embedding",
    }


def test_a_regulariser_belongs_to_its_layer_and_the_loss_to_none() -> None:
    parameters = flow(
        (ALIAS, ()),  # 0 x
        (ALIAS, ()),  # 1 kernel
        ("dense", (0, 1)),  # 2
        (None, (1,)),  # 3 square
        (None, (2, 3)),  # 4 loss + penalty
        data={0},
    )
    chosen = adopted(uses(parameters, {"dense": {1}}), parameters.creators, "")
    assert chosen == {3: "dense"}


def test_the_longest_known_part_of_a_gradients_name_decides() -> None:
    names = ForwardNames()
    names.add("model/block/conv/Conv2D", "block/conv")
    names.add("model/block/conv/Relu", "block/conv")
    names.add("model/block/pool/MaxPool", "block/pool")
    names.add("loss/Mean", None)
    tell = names.layer_of_gradient
    assert tell("gradient_tape/model/block/conv/Conv2D/Conv2DBackpropInput") == "block/conv"
    assert tell("gradient_tape/model/block/conv/ReluGrad") == "block/conv"
    assert tell("gradient_tape/model/block/pool/MaxPool/MaxPoolGrad") == "block/pool"
    assert tell("gradient_tape/loss/Tile") is None
    assert tell("gradient_tape/model/never/seen/Mul") is UNKNOWN
    assert tell("AddN_3") is UNKNOWN


def test_a_loops_gradient_is_named_after_the_op_in_the_forward_body() -> None:
    names = ForwardNames()
    names.add("model/lstm/while/lstm_cell/MatMul_1", "lstm")
    name = (
        "gradient_tape/model/lstm/while/gradients/model/lstm/while/lstm_cell/MatMul_1_grad/MatMul"
    )
    assert names.layer_of_gradient(name) == "lstm"
    assert names.layer_of_gradient("gradient_tape/model/lstm/while/gradients/AddN") is UNKNOWN


def test_a_functions_gradient_is_named_after_the_op_in_the_function() -> None:
    names = ForwardNames()
    names.add("dense/MatMul", "outer/dense")
    assert names.layer_of_gradient("gradients/dense/MatMul_grad/MatMul_1") == "outer/dense"


def test_a_scope_shared_by_two_layers_tells_nothing() -> None:
    names = ForwardNames()
    names.add("scope/Mul", "first")
    names.add("scope/Add", "second")
    assert names.layer_of_gradient("gradient_tape/scope/Sum") is UNKNOWN
    assert names.layer_of_gradient("gradient_tape/scope/Mul/Sum") == "first"


def test_nameless_ops_go_with_their_reader_then_with_their_variable_then_with_what_they_read() -> (
    None
):
    # GIVEN 0 -> 1 -> 2 and 3, 4: 1 sums gradients read by `conv`; 3 is a tip; 4 is read by no one
    readers = {0: [1], 1: [2], 2: [], 3: [], 4: []}
    reads = {0: [], 1: [0], 2: [1], 3: [2], 4: [0]}
    credits = credit_backward(
        BackwardOps(
            named={0: "dense", 1: UNKNOWN, 2: "conv", 3: UNKNOWN, 4: UNKNOWN},
            readers=readers.__getitem__,
            reads=reads.__getitem__,
            owner=lambda op: "shared" if op == 3 else None,
        )
    )
    assert credits == {0: "dense", 1: "conv", 2: "conv", 3: "shared", 4: "dense"}


def backward(
    named: dict[int, str | Unknown | None], reads: dict[int, list[int]], sums: tuple[int, ...]
) -> dict[int, str | None]:
    """Credits of backward ops that read each other; nothing is owned by variables alone."""
    readers = {op: [other for other, of in reads.items() if op in of] for op in named}
    return credit_backward(
        BackwardOps(
            named=named,
            readers=lambda op: readers.get(op, []),
            reads=lambda op: reads.get(op, []),
            owner=lambda op: None,
            sums=sums,
        )
    )


def test_a_sum_whose_summands_come_from_one_layer_is_that_layers() -> None:
    # GIVEN a normalisation whose input has three gradients, their sum, and the convolution below
    named = {0: "norm", 1: "norm", 2: "norm", 3: UNKNOWN, 4: "conv"}
    credits = backward(named, {3: [0, 1, 2], 4: [3]}, sums=(3,))
    assert credits[3] == "norm"


def test_a_sum_over_several_layers_is_the_readers() -> None:
    # GIVEN two branches that join: the gradient of the layer below is summed over both
    named = {0: "branch_a", 1: "branch_b", 2: UNKNOWN, 3: "stem"}
    credits = backward(named, {2: [0, 1], 3: [2]}, sums=(2,))
    assert credits[2] == "stem"
