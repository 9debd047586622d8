"""Attribution: every nanosecond of a trace to a layer and a pass, or visibly to `other`.

In: a `Trace`, and the `StepGraph` of the step that was traced. Out: `OpCost` rows whose times add
up to the trace's time per step. Refuses (`ConservationError`) to lose or invent time, and
(`CreditError`) to credit weight gradients to variables that have none. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from frostline.attribute.costs import OpCost, apportion, check_conserved, per_step
from frostline.attribute.frozen import check_frozen
from frostline.attribute.index import GraphIndex, Match
from frostline.attribute.rules import Context, Piece, place
from frostline.attribute.step_graph import StepGraph
from frostline.trace.ops import Trace, TraceOp


def attribute(trace: Trace, graph: StepGraph | None) -> tuple[OpCost, ...]:
    """Attribute a trace's ops to layers and passes.

    An XLA instruction that computes several ops is split over them by weight; each share counts the
    instruction's calls, since each of its ops ran that often. Without a graph (a foreign trace),
    names decide as far as they can (rules `name:...`).

    Returns:
        One row per op, device and rule, dearest first. Their `ns_per_step` adds up to
        `trace.total_ns / trace.steps`, rounded half to even.

    Raises:
        ConservationError: times do not add up; a defect.
        CreditError: a variable without a gradient would have time for one; a defect of graph or
            matching.
    """
    check_conserved(trace.total_ns, [op.self_ns for op in trace.ops])
    pieces = [piece for op in trace.ops for piece in _pieces(op)]
    totals = [total_ns for _, _, total_ns in pieces]
    check_conserved(trace.total_ns, totals)
    index = GraphIndex(graph, (piece.op_name for _, piece, _ in pieces)) if graph else None
    context = Context(index=index, eager=trace.eager)
    step_ns = per_step(trace.total_ns, trace.steps)
    costs = tuple(
        _cost(op, piece, place(piece, context), total_ns, ns, trace.steps)
        for (op, piece, total_ns), ns in zip(pieces, apportion(step_ns, totals), strict=True)
    )
    check_conserved(step_ns, costs)
    merged = _merged(costs)
    check_conserved(step_ns, merged)
    if graph is not None:
        untrained = frozenset(graph.variables) - frozenset(graph.trained)
        check_frozen(merged, graph, frozen_variables=untrained)
    return merged


def _pieces(op: TraceOp) -> list[tuple[TraceOp, Piece, int]]:
    if not op.shares:
        piece = Piece(op_name=op.op_name, op_type=op.op_type, in_input=op.in_input)
        return [(op, piece, op.self_ns)]
    parts = apportion(op.self_ns, [share.weight for share in op.shares])
    return [
        (op, Piece(op_name=share.op_name, op_type=share.op_type, in_input=op.in_input), part)
        for share, part in zip(op.shares, parts, strict=True)
    ]


def _cost(
    op: TraceOp, piece: Piece, match: Match, total_ns: int, ns_per_step: int, steps: int
) -> OpCost:
    return OpCost(
        layer=match.layer,
        pass_=match.pass_,
        op_type=piece.op_type or op.op_type,
        op_name=piece.op_name or op.hlo_op or op.kernel or op.op_type,
        device=op.device,
        calls_per_step=op.calls / steps,
        ns_per_step=ns_per_step,
        rule=f"hlo:{match.rule}" if op.shares else match.rule,
        graph_op=match.graph_op,
        typical_ns_per_step=_typical(op, total_ns, steps),
    )


def _typical(op: TraceOp, total_ns: int, steps: int) -> int | None:
    """A piece's share of its op's median events in a step."""
    if op.median_ns is None:
        return None
    share = total_ns / op.self_ns if op.self_ns else 0.0
    return round(op.median_ns * op.calls / steps * share)


def _merged(costs: Sequence[OpCost]) -> tuple[OpCost, ...]:
    """Merge rows that differ only in time and calls: shares of several instructions in one op."""
    together: dict[tuple[object, ...], list[OpCost]] = defaultdict(list)
    for cost in costs:
        key = (
            cost.layer, cost.pass_, cost.op_type, cost.op_name, cost.device, cost.rule,
            cost.graph_op,
        )  # fmt: skip
        together[key].append(cost)
    rows = (same[0] if len(same) == 1 else _sum_of(same) for same in together.values())
    return tuple(sorted(rows, key=lambda row: (-row.ns_per_step, row.device, row.op_name)))


def _sum_of(same: Sequence[OpCost]) -> OpCost:
    return replace(
        same[0],
        calls_per_step=sum(cost.calls_per_step for cost in same),
        ns_per_step=sum(cost.ns_per_step for cost in same),
        typical_ns_per_step=_sum(cost.typical_ns_per_step for cost in same),
    )


def _sum(values: Iterable[int | None]) -> int | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


def attributed_fraction(costs: Sequence[OpCost]) -> float | None:
    """Share of op time whose pass is not `other`; None where there is no time at all."""
    total_ns = sum(cost.ns_per_step for cost in costs)
    other_ns = sum(cost.ns_per_step for cost in costs if cost.pass_ == "other")
    return (total_ns - other_ns) / total_ns if total_ns else None
