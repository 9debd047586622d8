"""Who the idle time of a CPU belongs to: the ops that the executor dispatched, seen or not.

In: attributed costs of a step that TensorFlow's executor ran on the host, and the traced step. Out:
the same costs with the idle time shared out over all ops that ran, and rows for those that left no
event. Pure.

TensorFlow writes no profile event for an op that it deems cheap on a CPU (`IsExpensive` of its
kernel is false): of the article's small models five ops in some hundred leave one. Between events
the executor runs such ops and looks for the next, so that idle time before an event says nothing
about that event's op. The model: every op that the graph says was run takes an equal share of it
for each time that it ran. It is a model, not a measurement; rows carry the rule `dispatch` where
nothing else is known of the op. Under XLA every instruction leaves an event, and on accelerators
every kernel does, so there the time before an event is that op's own wait.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from frostline.attribute.costs import OpCost, apportion
from frostline.attribute.rules import AHEAD, DISPATCH
from frostline.attribute.step_graph import PASSES, GraphOp, Pass, StepGraph
from frostline.attribute.walk import firsts_of
from frostline.trace.ops import Trace

_NEVER_RUN = frozenset({"Const", "Identity", "IdentityN", "NoOp", "Placeholder"})
"""TensorFlow's optimizers fold these away, or the executor runs no kernel for them."""


def dispatched(trace: Trace, graph: StepGraph | None) -> bool:
    """Whether the executor ran the step op by op on the host, from a graph that is known."""
    return (
        graph is not None
        and not trace.eager
        and not any(op.hlo_op or op.device.startswith("/device:") for op in trace.ops)
    )


def unobserved(costs: Iterable[OpCost], graph: StepGraph) -> tuple[GraphOp, ...]:
    """The ops of the traced step that were run and left no event, in creation order."""
    observed = {cost.graph_op for cost in costs}
    firsts = firsts_of(op.repeats for op in graph.ops)
    seen = {first for first, op in zip(firsts, graph.ops, strict=True) if op.op_name in observed}
    returned = set(graph.trained)
    trained = {position for position, path in enumerate(graph.variables) if path in returned}
    ran: dict[int, GraphOp] = {}
    for first, op in zip(firsts, graph.ops, strict=True):
        if (
            op.pass_ != "other"
            and op.op_type not in _NEVER_RUN
            and first not in seen
            and (not op.needed_by or not trained.isdisjoint(op.needed_by))
        ):
            ran.setdefault(first, op)
    return tuple(ran.values())


def unobserved_by_pass(
    trace: Trace, costs: Iterable[OpCost], graph: StepGraph | None
) -> dict[Pass, int] | None:
    """Number of ops that were run and left no event, by pass; None where it cannot be known."""
    if graph is None or not dispatched(trace, graph):
        return None
    found = dict.fromkeys(PASSES, 0)
    for op in unobserved((cost for cost in costs if cost.rule != DISPATCH), graph):
        found[op.pass_] += 1
    return found


def share_dispatch(costs: Sequence[OpCost], graph: StepGraph) -> tuple[OpCost, ...]:
    """Share the idle time within steps out over all ops that ran, each time that one ran.

    Ops without an event are grouped by layer, pass and the variables that need them. A group is one
    row: without time, named after its first op, with the number of ops as its calls.

    Returns:
        The costs and the groups; their `wait_ns_per_step` adds up to what it was.
    """
    waits_ns = [cost.wait_ns_per_step for cost in costs]
    known = [cost.typical_wait_ns_per_step for cost in costs]
    costs = [cost for cost in costs if cost.rule != DISPATCH]
    if not costs:
        return ()
    groups: dict[tuple[str | None, Pass, tuple[int, ...]], list[GraphOp]] = defaultdict(list)
    for op in unobserved(costs, graph):
        groups[op.layer, op.pass_, op.needed_by].append(op)
    device = costs[0].device
    rows = [*costs, *(_row(ops, device) for ops in groups.values())]
    weights = [0 if row.rule == AHEAD else max(1, round(row.calls_per_step)) for row in rows]
    waits = apportion(sum(waits_ns), weights)
    typical: Sequence[int | None] = [None] * len(rows)
    if None not in known:
        typical = apportion(sum(wait or 0 for wait in known), weights)
    return tuple(
        replace(row, wait_ns_per_step=wait, typical_wait_ns_per_step=often)
        for row, wait, often in zip(rows, waits, typical, strict=True)
    )


def _row(ops: Collection[GraphOp], device: str) -> OpCost:
    first = next(iter(ops))
    return OpCost(
        layer=first.layer,
        pass_=first.pass_,
        op_type=first.op_type if len(ops) == 1 else "",
        op_name=first.op_name,
        device=device,
        calls_per_step=float(len(ops)),
        ns_per_step=0,
        rule=DISPATCH,
        graph_op=first.op_name,
        typical_ns_per_step=0,
    )
