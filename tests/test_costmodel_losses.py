"""A step with two losses, as a GAN's: gradients pass through a layer for each of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import combinations

import pytest
from recommend_kit import facts_of

from frostline.attribute.step_graph import GraphOp, Pass, StepGraph
from frostline.costmodel.anchor import AnchorRun, PricedAnchor, PricedOp, ProfiledOp
from frostline.costmodel.layer_terms import layer_terms
from frostline.costmodel.model import CostModel
from frostline.costmodel.waits import NEVER_IDLE
from frostline.policies import anchors

FACTS = facts_of([[], [0], [0, 1], [0, 1, 2]], [[10]] * 4)
"""A generator of one layer, `l0`, and a critic of three."""
VARIABLES = tuple(variable.path for variable in FACTS.variables)
DX: Pass = "activation_gradient"
DW: Pass = "weight_gradient"

BACKWARD: dict[str, tuple[str, Pass, frozenset[str], int]] = {
    "generator's/l1": ("l1", DX, frozenset(VARIABLES[:1]), 20),
    "generator's/l2": ("l2", DX, frozenset(VARIABLES[:1]), 20),
    "generator's/l3": ("l3", DX, frozenset(VARIABLES[:1]), 20),
    "critic's/l2": ("l2", DX, frozenset(VARIABLES[1:2]), 50),
    "critic's/l3": ("l3", DX, frozenset(VARIABLES[1:3]), 50),
    **{f"dW/{each}": (each[:2], DW, frozenset({each}), 30) for each in VARIABLES},
}
"""Layer, pass, variables that need it, and nanoseconds: `l0` is in the generator's loss alone."""
BACKWARD["both's/l3"] = ("l3", DX, frozenset(VARIABLES[:1]), 70)
BACKWARD["both's/l3_1"] = ("l3", DX, frozenset(VARIABLES[1:3]), 70)
REPEATS = {"both's/l3_1": "both's/l3"}
"""What both losses hold is differentiated for each, from equal values, and computed once."""

GRAPH = StepGraph(
    variables=VARIABLES,
    trained=VARIABLES,
    ops=tuple(
        GraphOp(
            op_name=name, op_type="Op", layer=layer, pass_=pass_,
            needed_by=tuple(sorted(map(VARIABLES.index, needed))),
            repeats=list(BACKWARD).index(REPEATS[name]) if name in REPEATS else None,
        )
        for name, (layer, pass_, needed, _) in BACKWARD.items()
    ),
)  # fmt: skip


def ops_of(frozen: Collection[str]) -> Iterator[ProfiledOp]:
    """What a step runs."""
    for layer in FACTS.layers:
        yield profiled(layer.name, "forward", None, 40)
    computed = set()
    for name, (layer_name, pass_, needed, ns) in BACKWARD.items():
        first = REPEATS.get(name, name)
        if needed - frozenset(frozen) and first not in computed:
            computed.add(first)
            yield profiled(layer_name, pass_, name, ns)


def profiled(layer: str, pass_: Pass, graph_op: str | None, ns: int) -> ProfiledOp:
    return ProfiledOp(
        layer=layer, pass_=pass_, graph_op=graph_op, ns_per_step=ns, wait_ns_per_step=0
    )


def step_ns(frozen: Collection[str]) -> int:
    return sum(op.ns_per_step for op in ops_of(frozen))


MODEL = CostModel(
    FACTS,
    [
        AnchorRun(
            name=each.name, frozen_variables=each.frozen_variables, idle=NEVER_IDLE, graph=GRAPH,
            ops=tuple(ops_of(each.frozen_variables)),
            relative_step=step_ns(each.frozen_variables) / step_ns(()),
        )
        for each in anchors(FACTS)
    ],
)  # fmt: skip


@pytest.mark.parametrize(
    "frozen", [one for count in range(4) for one in combinations(VARIABLES, count)], ids="+".join
)
def test_what_passes_for_one_loss_alone_is_paid_for_the_other(frozen: tuple[str, ...]) -> None:
    """The anchor that passes through `l2` trains the generator, so the critic's dX is missing."""
    assert MODEL.speedup(frozen) == pytest.approx(step_ns(()) / step_ns(frozen))


def test_an_op_that_has_another_name_in_an_anchor_is_paid_for_whom_it_served_there() -> None:
    """Without the generator's loss, the critic's gradient is the first of its name."""
    generators, own, critics, last = VARIABLES
    base = priced_anchor(
        "trainable", trained=VARIABLES, passing=(),
        ops={"X": frozenset({generators}), "X_1": frozenset({own, critics})},
    )  # fmt: skip
    anchor = priced_anchor(
        "extra:1", trained=(own, last), passing=("l2",), ops={"X": frozenset()}
    )  # fmt: skip
    terms, _ = layer_terms(FACTS, base, [base, anchor])
    assert {(term.price, term.needed_by) for term in terms if term.mode == "pass_through"} == {
        (2.0, frozenset({own, critics})),
        (1.0, frozenset({generators})),
    }


def priced_anchor(
    name: str, *, trained: tuple[str, ...], passing: tuple[str, ...],
    ops: dict[str, frozenset[str]],
) -> PricedAnchor:  # fmt: skip
    """An anchor whose ops pass gradients through `l2`: 1 baseline step each in `base`, else 2."""
    return PricedAnchor(
        name=name,
        modes={
            layer.name: "pass_through" if layer.name in passing else "trainable"
            for layer in FACTS.layers
        },
        trained=frozenset(trained),
        ops=tuple(
            PricedOp(
                unit="l2", pass_=DX, needed_by=needed, price=1.0 if needed else 2.0, wait=0.0,
                kernels=0.0, graph_op=graph_op,
            )
            for graph_op, needed in ops.items()
        ),
    )  # fmt: skip
