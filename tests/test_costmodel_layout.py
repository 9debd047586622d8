"""Pruned layers where a GPU's graph gets dearer as soon as one convolution has a gradient."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from recommend_kit import chain, chain_graph, facts_of

from frostline.attribute.step_graph import Pass
from frostline.costmodel.anchor import AnchorRun, ProfiledOp
from frostline.costmodel.model import CostModel
from frostline.costmodel.waits import NEVER_IDLE
from frostline.policies import anchors, layer_modes

FACTS = facts_of(chain(5), [[10]] * 5)
"""Four convolutions and a dense head, `l0` to `l4`."""
CONVOLUTIONS = ("l0", "l1", "l2", "l3")
FEW, MANY = (100, 2.0), (160, 5.0)
"""Nanoseconds and kernels of a convolution where none has a gradient, and where one has."""


def run(name: str, frozen: frozenset[str], *, counted: bool) -> AnchorRun:
    """An anchor as a GPU runs it in graph mode: each convolution costs FEW or MANY."""
    modes = layer_modes(FACTS, frozen)
    forward_ns, kernels = FEW if all(modes[each] == "pruned" for each in CONVOLUTIONS) else MANY
    ops = [op(each, "forward", forward_ns, kernels if counted else 0.0) for each in CONVOLUTIONS]
    ops.append(op("l4", "forward", 10, 1.0))
    for layer, mode in modes.items():
        if mode != "pruned" and layer != "l0":
            ops.append(op(layer, "activation_gradient", 50, 1.0))
        if mode == "trainable":
            ops.append(op(layer, "weight_gradient", 40, 1.0))
    return AnchorRun(
        name=name, frozen_variables=frozen, ops=tuple(ops), idle=NEVER_IDLE, graph=GRAPH,
        relative_step=sum(each.ns_per_step for each in ops) / 1000,
    )  # fmt: skip


def op(layer: str, pass_: Pass, ns: int, kernels: float) -> ProfiledOp:
    graph_op = None if pass_ == "forward" else f"{layer}/{pass_}"
    return ProfiledOp(
        layer=layer, pass_=pass_, graph_op=graph_op, ns_per_step=ns, wait_ns_per_step=0,
        kernels=kernels,
    )  # fmt: skip


VARIABLES = tuple(variable.path for variable in FACTS.variables)
GRAPH = chain_graph(FACTS)


def forward_of(layer: str, frozen: Collection[str], *, counted: bool = True) -> float:
    """What the model says of a layer's forward pass, in what it costs in a frozen graph."""
    runs = [run(each.name, each.frozen_variables, counted=counted) for each in anchors(FACTS)]
    model = CostModel(FACTS, runs)
    all_but_head, asked = (
        {each.layer: each.forward for each in model.prices(chosen)}
        for chosen in (VARIABLES[:4], frozen)
    )
    return asked[layer] / all_but_head[layer]


@pytest.mark.parametrize("layer", ["l1", "l2"])
def test_a_pruned_convolution_costs_more_while_another_one_trains(layer: str) -> None:
    assert forward_of(layer, VARIABLES[:3]) == pytest.approx(MANY[0] / FEW[0])


def test_the_first_layer_has_one_price_only() -> None:
    # since no anchor shows it passing gradients through
    assert forward_of("l0", VARIABLES[:3]) == pytest.approx(1.0)


@pytest.mark.parametrize("layer", ["l1", "l2"])
def test_times_alone_move_nothing(layer: str) -> None:
    # GIVEN a CPU, or XLA: no kernels are counted
    assert forward_of(layer, VARIABLES[:3], counted=False) == pytest.approx(1.0)
