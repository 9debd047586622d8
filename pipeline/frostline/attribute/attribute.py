"""Attribution: every nanosecond of a trace to a layer and a pass, or visibly to `other`.

In: a `Trace`, and the `StepGraph` of the step that was traced. Out: `OpCost` rows whose times add
up to the trace's time per step, and whose waits add up to the devices' idle time within steps.
Refuses (`ConservationError`) to lose or invent time, and (`CreditError`) to credit weight gradients
to variables that have none. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from frostline.attribute.costs import OpCost, apportion, check_conserved, device_time, per_step
from frostline.attribute.dispatch import dispatched, share_dispatch
from frostline.attribute.frozen import check_frozen
from frostline.attribute.index import GraphIndex, Match
from frostline.attribute.rules import Context, Piece, place
from frostline.attribute.step_graph import StepGraph
from frostline.trace.ops import OpShare, Trace, TraceOp


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
    wait_step_ns = device_time(trace).wait_ns
    index = None
    if graph is not None:
        index = GraphIndex(graph, (name for op in trace.ops for name in _names(op)))
    calls = {op.program: index.calls_of(op.program) if index else () for op in trace.ops}
    shares = [share for op in trace.ops for share in _shares(op, calls[op.program])]
    check_conserved(trace.total_ns, [share.total_ns for share in shares])
    check_conserved(trace.wait_ns, [share.wait_ns for share in shares])
    named: dict[str, set[str]] = defaultdict(set)
    for share in shares:
        if share.piece.call is not None and share.piece.op_name:
            named[share.piece.call].add(share.piece.op_name)
    context = Context(index=index, eager=trace.eager, named=named)
    step_ns = per_step(trace.total_ns, trace.steps)
    costs = tuple(
        _cost(share, place(share.piece, context), ns, wait_ns, trace.steps)
        for share, ns, wait_ns in zip(
            shares,
            apportion(step_ns, [share.total_ns for share in shares]),
            apportion(wait_step_ns, [share.wait_ns for share in shares]),
            strict=True,
        )
    )
    check_conserved(step_ns, costs)
    merged = _merged(costs)
    if graph is not None and dispatched(trace, graph):
        merged = share_dispatch(merged, graph)
    check_conserved(step_ns, merged)
    check_conserved(wait_step_ns, [cost.wait_ns_per_step for cost in merged])
    if graph is not None:
        untrained = frozenset(graph.variables) - frozenset(graph.trained)
        check_frozen(merged, graph, frozen_variables=untrained)
    return merged


@dataclass(frozen=True, slots=True)
class _Share:
    """The part of an op that is one TensorFlow op's; times over all steps, in nanoseconds."""

    op: TraceOp
    piece: Piece
    total_ns: int
    wait_ns: int
    alike: int = 1
    """How many calls run the program that the op is part of."""


def _names(op: TraceOp) -> list[str]:
    return [share.op_name for share in op.shares] or [op.op_name]


def _shares(op: TraceOp, calls: Sequence[str]) -> list[_Share]:
    """What an op computes, shared out; `calls` are those of its program, all alike."""
    whole = OpShare(op_name=op.op_name, op_type=op.op_type, weight=1)
    parts = [(share, call) for share in op.shares or (whole,) for call in calls or (None,)]
    weights = [share.weight for share, _ in parts]
    return [
        _Share(
            op,
            Piece(
                op_name=share.op_name,
                op_type=share.op_type,
                in_input=op.in_input,
                ahead=op.ahead,
                call=call,
            ),
            ns,
            wait_ns,
            alike=max(1, len(calls)),
        )
        for (share, call), ns, wait_ns in zip(
            parts, apportion(op.self_ns, weights), apportion(op.wait_ns, weights), strict=True
        )
    ]


def _cost(share: _Share, match: Match, ns_per_step: int, wait_ns: int, steps: int) -> OpCost:
    op, piece = share.op, share.piece
    return OpCost(
        layer=match.layer,
        pass_=match.pass_,
        op_type=piece.op_type or op.op_type,
        op_name=piece.op_name or op.hlo_op or op.kernel or op.op_type,
        device=op.device,
        calls_per_step=op.calls / steps / share.alike,
        ns_per_step=ns_per_step,
        rule=f"hlo:{match.rule}" if op.shares else match.rule,
        graph_op=match.graph_op,
        typical_ns_per_step=_part(op.typical_ns, share.total_ns, op.self_ns),
        wait_ns_per_step=wait_ns,
        typical_wait_ns_per_step=_part(op.typical_wait_ns, share.wait_ns, op.wait_ns),
        short_calls_per_step=op.short_calls / steps / share.alike,
    )


def _part(typical_ns: int | None, part_ns: int, whole_ns: int) -> int | None:
    """A share's part of what its op typically takes."""
    if typical_ns is None:
        return None
    return round(typical_ns * part_ns / whole_ns) if whole_ns else 0


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
        wait_ns_per_step=sum(cost.wait_ns_per_step for cost in same),
        typical_wait_ns_per_step=_sum(cost.typical_wait_ns_per_step for cost in same),
        short_calls_per_step=sum(cost.short_calls_per_step for cost in same),
    )


def _sum(values: Iterable[int | None]) -> int | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


def attributed_fraction(costs: Sequence[OpCost]) -> float | None:
    """Share of op time whose pass is not `other`; None where there is no time at all."""
    total_ns = sum(cost.ns_per_step for cost in costs)
    other_ns = sum(cost.ns_per_step for cost in costs if cost.pass_ == "other")
    return (total_ns - other_ns) / total_ns if total_ns else None
