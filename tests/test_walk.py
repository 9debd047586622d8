"""Walks over the data flow: passes and needs by construction, and against brute force."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.attribute.walk import (
    OpGroup,
    StepFlow,
    backward_pass,
    members,
    spread_down,
    spread_up,
    topological,
    upstream,
    walk,
)


class Net:
    """Builds a flow by names, so that a test reads like the network it is about."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.sources: list[tuple[int, ...]] = []

    def add(self, name: str, *reads: str) -> str:
        self.names[name] = len(self.sources)
        self.sources.append(tuple(self.names[read] for read in reads))
        return name

    def also_reads(self, name: str, *reads: str) -> None:
        self.sources[self.names[name]] += tuple(self.names[read] for read in reads)

    def of(self, *names: str) -> frozenset[int]:
        return frozenset(self.names[name] for name in names)


def two_dense_layers() -> tuple[Net, StepFlow]:
    """x -> first -> relu -> second -> loss, with plain gradient descent clipped by global norm."""
    net = Net()
    for name in ("x", "w1", "w2", "rate"):
        net.add(name)
    net.add("first", "x", "w1")
    net.add("relu", "first")
    net.add("second", "relu", "w2")
    net.add("loss", "second")
    net.add("metric", "loss")
    net.add("d_loss", "second")
    net.add("d_w2", "relu", "d_loss")
    net.add("d_relu", "w2", "d_loss")
    net.add("relu_grad", "relu", "d_relu")
    net.add("d_w1", "x", "relu_grad")
    net.add("d_x", "w1", "relu_grad")
    net.add("norm", "d_w1", "d_w2")
    for number in "12":
        net.add(f"clip{number}", f"d_w{number}", "norm")
        net.add(f"step{number}", f"clip{number}", "rate")
        net.add(f"update{number}", f"w{number}", f"step{number}")
    flow = StepFlow(
        sources=net.sources,
        losses=net.of("loss"),
        gradients={0: net.of("d_w1"), 1: net.of("d_w2")},
        results=net.of("metric"),
        updates=net.of("update1", "update2"),
    )
    return net, flow


def test_a_chain_is_split_into_passes_although_clipping_ties_all_gradients_together() -> None:
    # GIVEN two layers whose updates each read both gradients through the global norm
    net, flow = two_dense_layers()
    # WHEN the step is walked
    walked = walk(flow)
    # THEN every op has its pass, and dW of the one layer is not needed by the other
    group = {name: walked.groups[vertex] for name, vertex in net.names.items()}
    needs = {name: walked.needed_by[vertex] for name, vertex in net.names.items()}
    assert all(group[name] is OpGroup.FORWARD for name in ("x", "w1", "first", "relu", "metric"))
    assert all(group[name] is OpGroup.OPTIMIZER for name in ("norm", "clip1", "step2", "rate"))
    assert group["d_x"] is OpGroup.OTHER  # the first layer's input gradient reaches nothing
    assert needs["d_loss"] == 0b11
    assert needs["d_w2"] == 0b10
    assert needs["d_relu"] == needs["relu_grad"] == needs["d_w1"] == 0b01
    assert {name for name in needs if needs[name]} == {
        name for name in group if group[name] is OpGroup.BACKWARD
    }


def test_an_op_of_its_own_layer_alone_is_weight_gradient_and_everything_else_passes_on() -> None:
    assert backward_pass(0b0011, own=0b0011) == "weight_gradient"
    assert backward_pass(0b0001, own=0b0011) == "weight_gradient"
    assert backward_pass(0b0111, own=0b0011) == "activation_gradient"  # serves both
    assert backward_pass(0b0100, own=0b0011) == "activation_gradient"
    assert backward_pass(0b0100, own=0) == "activation_gradient"  # a layer without variables


def test_a_reported_gradient_norm_does_not_turn_the_backward_pass_into_forward() -> None:
    # GIVEN the norm of the gradients among the step's outputs
    net, flow = two_dense_layers()
    reporting = StepFlow(
        sources=flow.sources,
        losses=flow.losses,
        gradients=flow.gradients,
        results=flow.results | net.of("norm"),
        updates=flow.updates,
    )
    # WHEN / THEN the gradients themselves stay backward
    walked = walk(reporting)
    assert walked.groups[net.names["d_w1"]] is OpGroup.BACKWARD
    assert walked.groups[net.names["relu_grad"]] is OpGroup.BACKWARD
    # AND what is computed from them comes after the backward pass
    assert walked.groups[net.names["norm"]] is OpGroup.OPTIMIZER


def test_what_hangs_on_a_gradient_and_leads_nowhere_is_no_optimizer() -> None:
    # GIVEN a frozen layer below: the tape makes ops for it that read a gradient and reach nothing
    net, flow = two_dense_layers()
    net.add("dead", "d_w1")
    # AND a branch that is taken where all gradients are finite
    net.add("finite", "d_w1", "d_w2")
    net.add("branch", "finite")
    walked = walk(
        StepFlow(
            sources=net.sources,
            losses=flow.losses,
            gradients=flow.gradients,
            results=flow.results,
            updates=flow.updates,
            effects=net.of("branch"),
        )
    )
    assert walked.groups[net.names["dead"]] is OpGroup.OTHER
    assert walked.groups[net.names["finite"]] is OpGroup.OPTIMIZER
    assert walked.groups[net.names["branch"]] is OpGroup.OPTIMIZER


def test_a_gradient_inside_the_loss_is_forward() -> None:
    # GIVEN a penalty on an inner gradient, as in adversarial training
    net = Net()
    for name in ("x", "w"):
        net.add(name)
    net.add("score", "x", "w")
    net.add("inner_gradient", "score", "w")
    net.add("loss", "score", "inner_gradient")
    net.add("d_w", "x", "loss", "inner_gradient")
    # WHEN
    walked = walk(
        StepFlow(
            sources=net.sources,
            losses=net.of("loss"),
            gradients={0: net.of("d_w")},
            results=frozenset(),
            updates=frozenset(),
        )
    )
    # THEN
    assert walked.groups[net.names["inner_gradient"]] is OpGroup.FORWARD
    assert walked.needed_by[net.names["inner_gradient"]] == 0
    assert walked.groups[net.names["d_w"]] is OpGroup.BACKWARD


def test_a_loop_carries_needs_around_until_nothing_changes() -> None:
    # GIVEN a loop variable that feeds itself through two others, and one gradient in the loop
    net = Net()
    net.add("seed")
    for name in ("a", "b", "c"):
        net.add(name)
    net.also_reads("a", "seed", "c")
    net.also_reads("b", "a")
    net.also_reads("c", "b")
    net.add("loss")
    net.add("gradient", "a")
    # WHEN
    walked = walk(
        StepFlow(
            sources=net.sources,
            losses=net.of("loss"),
            gradients={0: net.of("gradient")},
            results=frozenset(),
            updates=frozenset(),
        )
    )
    # THEN all of the loop is needed
    assert [walked.needed_by[net.names[name]] for name in ("seed", "a", "b", "c")] == [1] * 4


def test_members_of_a_mask_are_its_bits() -> None:
    assert members(0) == ()
    assert members(0b1011) == (0, 1, 3)
    assert members(1 << 300) == (300,)


graphs = st.integers(1, 14).flatmap(
    lambda size: st.lists(
        st.lists(st.integers(0, size - 1), max_size=3).map(tuple), min_size=size, max_size=size
    )
)


@given(graphs, st.data())
def test_needs_equal_reachability_variable_by_variable(
    sources: list[tuple[int, ...]], data: st.DataObject
) -> None:
    vertex = st.integers(0, len(sources) - 1)
    gradients = data.draw(st.dictionaries(st.integers(0, 5), st.frozensets(vertex, min_size=1)))
    losses = data.draw(st.frozensets(vertex))
    updates = data.draw(st.frozensets(vertex))
    walked = walk(
        StepFlow(
            sources=sources,
            losses=losses,
            gradients=gradients,
            results=frozenset(),
            updates=updates,
        )
    )
    forward = upstream(sources, losses)
    for variable, starts in gradients.items():
        needed = upstream(sources, starts, stop=forward)
        assert needed == {v for v in range(len(sources)) if walked.needed_by[v] >> variable & 1}
    for position, group in enumerate(walked.groups):
        assert (group is OpGroup.FORWARD) == (position in forward)
        assert (group is OpGroup.BACKWARD) == (walked.needed_by[position] != 0)


@given(graphs, st.data())
def test_spreading_down_is_spreading_up_with_the_arrows_turned(
    sources: list[tuple[int, ...]], data: st.DataObject
) -> None:
    seeds = data.draw(
        st.dictionaries(st.integers(0, len(sources) - 1), st.integers(1, 7), max_size=4)
    )
    down = spread_down(sources, topological(sources), seeds)
    for position in range(len(sources)):
        reached = upstream(sources, [position])
        expected = 0
        for vertex, mask in seeds.items():
            expected |= mask if vertex in reached else 0
        assert down[position] == expected


@given(graphs)
def test_the_order_holds_every_vertex_once_with_sources_first_where_there_is_no_loop(
    sources: list[tuple[int, ...]],
) -> None:
    acyclic = [
        tuple(source for source in read if source < vertex) for vertex, read in enumerate(sources)
    ]
    order = topological(acyclic)
    place = {vertex: position for position, vertex in enumerate(order)}
    assert sorted(order) == list(range(len(acyclic)))
    assert all(place[s] < place[v] for v, read in enumerate(acyclic) for s in read)
    assert sorted(topological(sources)) == list(range(len(sources)))


def test_a_mask_never_passes_a_stop() -> None:
    sources = [(), (0,), (1,)]
    masks = spread_up(sources, topological(sources), {2: 1}, stop={1})
    assert masks == [0, 0, 1]


@pytest.mark.parametrize("depth", [20_000])
def test_long_chains_do_not_exhaust_the_stack(depth: int) -> None:
    sources = [(), *((vertex,) for vertex in range(depth))]
    masks = spread_up(sources, topological(sources), {depth: 1})
    assert all(masks)
