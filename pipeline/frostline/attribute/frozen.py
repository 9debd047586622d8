"""Checks that no time is credited to a gradient that the trial did not compute.

In: attributed costs, the traced step's graph if there is one, and what the trial froze. Out:
nothing. Refuses (`CreditError`) a weight gradient where there can be none: in a layer with nothing
left to train, or for an op of the graph that serves a frozen variable or no variable at all. Pure.

The check goes by variables, not by layers: where only a bias is frozen, the kernel's gradient is
rightly dW of its layer, and a gradient of the bias would be wrong. Graph and frozen variables come
from different places, the graph from what TensorFlow traced, the variables from the plan; so each
checks the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from frostline.attribute.costs import OpCost
from frostline.attribute.step_graph import GraphOp, StepGraph
from frostline.errors import CreditError


def check_frozen(
    costs: Iterable[OpCost],
    graph: StepGraph | None,
    *,
    frozen_variables: Collection[str],
    frozen_layers: Collection[str] = (),
) -> None:
    """Check that weight gradients are credited only where something trains.

    Args:
        costs: attributed rows; those without time count as well.
        graph: the step that was traced; without one only layers can be checked.
        frozen_variables: paths of the variables that must not have a gradient.
        frozen_layers: layers with nothing left to train.

    Raises:
        CreditError: a weight gradient is credited to what is frozen.
    """
    wrong = _impossible(graph, frozenset(frozen_variables)) if graph is not None else {}
    layers = {op.layer for op, _ in wrong.values()}
    for cost in costs:
        if cost.pass_ != "weight_gradient":
            continue
        if cost.layer is not None and cost.layer in frozen_layers:
            raise _refusal(cost, "in which nothing trains")
        if cost.graph_op in wrong:
            raise _refusal(cost, wrong[cost.graph_op][1])
        # Without an op of the graph it was placed by its scope, which such ops share.
        if cost.graph_op is None and cost.layer in layers:
            raise _refusal(cost, "whose gradients the graph cannot place")


def _impossible(graph: StepGraph, frozen: frozenset[str]) -> dict[str | None, tuple[GraphOp, str]]:
    """Ops labelled dW that serve a frozen variable, or no variable, by name, with the reason."""
    found: dict[str | None, tuple[GraphOp, str]] = {}
    for op in graph.ops:
        if op.pass_ != "weight_gradient":
            continue
        served = [graph.variables[position] for position in op.needed_by]
        still = [path for path in served if path in frozen]
        if still:
            found[op.op_name] = op, f"for {still[0]}, which is frozen"
        elif not served:
            found[op.op_name] = op, "and no variable needs it"
    return found


def _refusal(cost: OpCost, why: str) -> CreditError:
    return CreditError(
        f"op {cost.op_name} ({cost.ns_per_step} ns per step, rule {cost.rule}) would be a weight "
        f"gradient of layer {cost.layer}, {why}; the trial keeps its timing and its passes are "
        "left out. This is a defect of the program: please report it with the trace"
    )
