"""Small steps that XLA compiled for the host: the call costs more the more it updates."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import pytest
from recommend_kit import chain, chain_graph, facts_of

from frostline.attribute.step_graph import Pass
from frostline.costmodel.anchor import AnchorRun, ProfiledOp
from frostline.costmodel.model import CostModel
from frostline.costmodel.waits import (
    CompiledStep,
    IdleShares,
    StepTimes,
    idle_on_host,
    idle_when_compiled,
)
from frostline.policies import anchors, layer_modes

FACTS = facts_of(chain(8), [[10, 1]] * 8)
"""Eight layers, `l0` to `l7`, each with a kernel and a bias."""
VARIABLES = tuple(variable.path for variable in FACTS.variables)
PASSES: tuple[Pass, ...] = ("activation_gradient", "weight_gradient")
GRAPH = chain_graph(FACTS)
CALL_US, UPDATE_US, OP_US = 350.0, 10.0, 12.0


def ops_of(frozen: Collection[str]) -> list[ProfiledOp]:
    """What such a step runs: 12 us each; the profile says 15."""
    modes = layer_modes(FACTS, frozenset(frozen))
    found: list[tuple[str, Pass]] = [(layer, "forward") for layer in modes]
    found += [(each, PASSES[0]) for each in modes if modes[each] != "pruned" and each != "l0"]
    found += [(each, PASSES[1]) for each in modes if modes[each] == "trainable"]
    return [
        ProfiledOp(
            layer=layer, pass_=pass_, graph_op=None if pass_ == "forward" else f"{layer}/{pass_}",
            ns_per_step=15_000, wait_ns_per_step=200,
        )
        for layer, pass_ in found
    ]  # fmt: skip


def step_us(frozen: Collection[str]) -> float:
    return CALL_US + UPDATE_US * (len(VARIABLES) - len(frozen)) + OP_US * len(ops_of(frozen))


def model(shares: Callable[[Sequence[frozenset[str]]], list[IdleShares]]) -> CostModel:
    """Fitted to the anchors, with the given rule for what of a step is idle."""
    wanted = anchors(FACTS)
    frozen = [frozenset(each.frozen_variables) for each in wanted]
    return CostModel(
        FACTS,
        [
            AnchorRun(
                name=each.name, frozen_variables=one, ops=tuple(ops_of(one)), idle=idle,
                relative_step=step_us(one) / step_us(()), graph=GRAPH,
            )
            for each, one, idle in zip(wanted, frozen, shares(frozen), strict=True)
        ],
    )  # fmt: skip


def compiled(frozen: Sequence[frozenset[str]]) -> list[IdleShares]:
    return idle_when_compiled([
        CompiledStep(
            step=step_us(one), work=15 * len(ops_of(one)), updated=len(VARIABLES) - len(one)
        )
        for one in frozen
    ])  # fmt: skip


def one_by_one(frozen: Sequence[frozenset[str]]) -> list[IdleShares]:
    """The rule for steps whose ops TensorFlow's executor runs one by one."""
    return idle_on_host([
        StepTimes(
            step=step_us(one), work=15 * len(ops_of(one)), wait_ns=200.0 * len(ops_of(one))
        )
        for one in frozen
    ])  # fmt: skip


@pytest.mark.parametrize("layers", [{"l2", "l4", "l5"}, {"l0", "l1", "l2", "l3"}, {"l7"}])
def test_what_a_freeze_saves_of_the_call_is_predicted(layers: set[str]) -> None:
    frozen = [each.path for each in FACTS.variables if each.layer in layers]
    truth = step_us(()) / step_us(frozen)
    assert model(compiled).speedup(frozen) == pytest.approx(truth, rel=0.02)


def test_every_anchor_is_met() -> None:
    found, dispatched = model(compiled), model(one_by_one)
    off = []
    for each in anchors(FACTS):
        truth = step_us(()) / step_us(each.frozen_variables)
        assert found.speedup(each.frozen_variables) == pytest.approx(truth, rel=0.02)
        off.append(abs(dispatched.speedup(each.frozen_variables) / truth - 1))
    assert max(off) > 0.05, "the executor's rule does not hold here"
