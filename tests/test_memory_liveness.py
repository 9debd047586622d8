"""Liveness on graphs that are small enough to be walked by hand."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_kit import added

from frostline.attribute.step_graph import GraphOp, Pass, StepGraph
from frostline.memory.activations import kept_activations
from frostline.memory.liveness import peak
from frostline.memory.running import Running


@dataclass(frozen=True)
class Op:
    """An op of one output, or of several."""

    op_type: str
    inputs: tuple[tuple[int, int], ...] = ()
    output_bytes: tuple[int | None, ...] = (0,)
    temporary_bytes: int | None = None


def everything(ops: list[Op]) -> list[bool]:
    return [True] * len(ops)


def test_a_chain_holds_an_op_s_input_and_output() -> None:
    ops = [
        Op("Conv2D", (), (100,)),
        Op("Conv2D", ((0, 0),), (40,)),
        Op("Conv2D", ((1, 0),), (30,)),
    ]
    found = peak(ops, everything(ops))
    assert (found.n_bytes, found.op) == (140, 1)
    assert [(each.op, each.n_bytes) for each in found.tensors] == [(0, 100), (1, 40)]


def test_what_an_op_works_in_is_alive_while_it_runs() -> None:
    ops = [
        Op("Conv2D", (), (10,), temporary_bytes=25),
        Op("Conv2D", ((0, 0),), (20,), temporary_bytes=7),  # 10 + 20 + 7: without the 25
    ]
    found = peak(ops, everything(ops))
    assert (found.n_bytes, found.op) == (37, 1)
    assert [(each.output, each.n_bytes) for each in found.tensors] == [(0, 20), (0, 10), (-1, 7)]


def test_a_gradient_that_is_not_computed_is_not_passed_on_either() -> None:
    ops = [
        Op("Conv2DBackpropFilter", (), (100,)),
        Op("Conv2DBackpropFilter", (), (30,)),
        Op("IdentityN", ((0, 0), (1, 0)), (100, 30)),
        Op("Mul", ((2, 0), (2, 1)), (30,)),
    ]
    assert peak(ops, everything(ops)).n_bytes == 130
    assert peak(ops, [False, True, True, True]).n_bytes == 30


def test_a_diamond_keeps_its_first_tensor_until_both_sides_have_read_it() -> None:
    ops = [
        Op("Conv2D", (), (10,)),
        Op("Conv2D", ((0, 0),), (7,)),  # alive: 10 + 7
        Op("Conv2D", ((0, 0),), (5,)),  # alive: 10 + 7 + 5
        Op("Concat", ((1, 0), (2, 0)), (12,)),  # alive: 7 + 5 + 12 = 24
    ]
    assert peak(ops, everything(ops)).n_bytes == 24
    assert peak(ops, everything(ops)).op == 3


def test_a_residual_sum_is_written_over_the_side_that_nobody_reads_again() -> None:
    ops = [
        Op("Conv2D", (), (10,)),
        Op("Conv2D", ((0, 0),), (10,)),
        Op("AddV2", ((0, 0), (1, 0)), (10,)),  # over the first: 20 at most
        Op("Conv2D", ((2, 0),), (10,)),
    ]
    assert peak(ops, everything(ops)).n_bytes == 20
    read_later = [*ops, Op("Conv2D", ((0, 0),), (1,))]  # then it takes the second one's place
    assert peak(read_later, everything(read_later)).n_bytes == 30


def test_a_sum_of_two_that_are_read_later_takes_bytes_of_its_own() -> None:
    ops = [
        Op("Conv2D", (), (10,)),
        Op("Conv2D", (), (10,)),
        Op("AddV2", ((0, 0), (1, 0)), (10,)),
        Op("Conv2D", ((0, 0), (1, 0), (2, 0)), (1,)),
    ]
    assert peak(ops, everything(ops)).n_bytes == 31


@pytest.mark.parametrize("kind", ["Identity", "Reshape", "StopGradient", "Squeeze"])
def test_another_name_of_a_tensor_takes_no_bytes_and_keeps_it_alive(kind: str) -> None:
    ops = [
        Op("Conv2D", (), (100,)),
        Op(kind, ((0, 0),), (100,)),
        Op("Conv2D", (), (50,)),
        Op("Conv2D", ((1, 0), (2, 0)), (1,)),
    ]
    assert peak(ops, everything(ops)).n_bytes == 151


def test_a_cast_makes_a_tensor() -> None:
    ops = [Op("Conv2D", (), (100,)), Op("Cast", ((0, 0),), (50,))]
    assert peak(ops, everything(ops)).n_bytes == 150


def test_variables_and_constants_are_the_model_s() -> None:
    ops = [
        Op("ReadVariableOp", (), (1000,)),
        Op("Const", (), (1000,)),
        Op("Conv2D", ((0, 0), (1, 0)), (5,)),
    ]
    assert peak(ops, everything(ops)).n_bytes == 5


def test_an_output_that_nobody_reads_lives_while_its_op_runs() -> None:
    ops = [Op("Split", (), (10, 20)), Op("Conv2D", ((0, 0),), (15,))]
    found = peak(ops, everything(ops))
    assert (found.n_bytes, found.op) == (30, 0)


def test_what_a_loop_carries_into_its_next_round_is_no_read_of_an_earlier_op() -> None:
    # The body's first op reads what the last one makes, and what was made before the loop.
    ops = [
        Op("Conv2D", (), (10,)),
        Op("Conv2D", ((0, 0), (2, 0)), (6,)),
        Op("Conv2D", ((1, 0),), (10,)),
        Op("Conv2D", ((2, 0),), (1,)),
    ]
    found = peak(ops, everything(ops))
    assert (found.n_bytes, found.op) == (16, 1)


def test_what_a_loop_keeps_lives_until_it_is_read() -> None:
    ops = [
        Op("TensorListPushBack", (), (700,)),
        Op("MatMul", (), (5,)),
        Op("TensorListPopBack", ((0, 0),), (0, 7)),
        Op("MatMul", ((2, 1),), (3,)),
    ]
    assert peak(ops, everything(ops)).n_bytes == 705


def test_sizes_that_are_not_known_are_counted() -> None:
    ops = [Op("Unique", (), (None,)), Op("Conv2D", ((0, 0),), (4,))]
    found = peak(ops, everything(ops))
    assert (found.n_bytes, found.unknown) == (4, 1)


def test_another_order_gives_another_peak() -> None:
    ops = [
        Op("Conv2D", (), (10,)),
        Op("Conv2D", (), (10,)),
        Op("Mean", ((0, 0),), (1,)),
        Op("Mean", ((1, 0),), (1,)),
    ]
    assert peak(ops, everything(ops)).n_bytes == 21
    assert peak(ops, everything(ops), [0, 2, 1, 3]).n_bytes == 11


def test_the_parts_add_up_to_the_peak() -> None:
    ops = [
        Op("Conv2D", (), (100,)),
        Op("Relu", ((0, 0),), (100,)),
        Op("Conv2D", ((1, 0),), (40,)),
        Op("Conv2DBackpropInput", ((1, 0), (2, 0)), (100,)),
    ]
    found = peak(ops, everything(ops))
    assert sum(each.n_bytes for each in found.tensors) == found.n_bytes


def chain(layers: int, size: int = 64) -> StepGraph:
    """Convolutions one above the other, each with dW, dX and an update."""
    ops: list[GraphOp] = []

    def add(
        kind: str, layer: str, pass_: Pass, reads: list[int], needs: tuple[int, ...] = ()
    ) -> int:
        n_bytes = size if kind != "AssignSubVariableOp" else 0
        return added(ops, kind, layer, pass_, reads=reads, needed_by=needs, n_bytes=n_bytes)

    made = [add("Placeholder", "input", "forward", [])]
    for layer in range(layers):
        made.append(add("Conv2D", f"layer{layer}", "forward", [made[-1]]))
    gradient = add("Mean", "loss", "activation_gradient", [made[-1]], tuple(range(layers)))
    for layer in reversed(range(layers)):
        name, below = f"layer{layer}", tuple(range(layer))
        dw = add("Conv2DBackpropFilter", name, "weight_gradient", [made[layer], gradient], (layer,))
        add("AssignSubVariableOp", name, "optimizer", [dw])
        if below:
            gradient = add("Conv2DBackpropInput", name, "activation_gradient", [gradient], below)
    names = tuple(f"layer{layer}/kernel" for layer in range(layers))
    return StepGraph(variables=names, trained=names, ops=tuple(ops))


def needs(graph: StepGraph, training: set[int]) -> int:
    names = {graph.variables[each] for each in training}
    return peak(graph.ops, Running(graph).flags(names)).n_bytes


def test_freezing_from_the_front_releases_what_lies_below() -> None:
    graph = chain(4)
    assert needs(graph, {0, 1, 2, 3}) == 64 * 6  # five activations and a gradient
    assert needs(graph, {3}) == 64 * 3  # the head's input, its output and a gradient
    assert needs(graph, {0}) == 64 * 3  # the first's input, and what an op reads and makes


def test_an_update_goes_with_its_gradient() -> None:
    graph = chain(2)
    runs = Running(graph).flags({"layer1/kernel"})
    left = {(op.layer, op.op_type) for op, flag in zip(graph.ops, runs, strict=True) if flag}
    assert ("layer0", "AssignSubVariableOp") not in left
    assert ("layer1", "AssignSubVariableOp") in left
    assert ("layer1", "Conv2DBackpropInput") not in left


@given(st.integers(2, 9))
def test_freezing_more_from_the_front_never_needs_more(layers: int) -> None:
    graph = chain(layers)
    peaks = [needs(graph, set(range(first, layers))) for first in range(layers)]
    assert peaks == sorted(peaks, reverse=True)


@given(st.integers(2, 7), st.data())
def test_training_another_layer_never_needs_less(layers: int, data: st.DataObject) -> None:
    graph = chain(layers)
    some = data.draw(st.sets(st.integers(0, layers - 1), min_size=1))
    more = some | data.draw(st.sets(st.integers(0, layers - 1)))
    assert needs(graph, some) <= needs(graph, more)


def test_activations_count_once_with_the_layer_that_made_them() -> None:
    found = kept_activations(chain(3))
    assert found == {"input": 64, "layer0": 64, "layer1": 64, "layer2": 64}
    assert kept_activations(StepGraph(variables=(), trained=(), ops=())) is None
