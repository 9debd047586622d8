"""What an op costs per step, and the check that no time is lost; in integer nanoseconds.

In: attributed totals over all steps. Out: `OpCost` rows per step. Refuses (`ConservationError`)
times that do not add up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from frostline.attribute.step_graph import Pass
from frostline.errors import ConservationError
from frostline.trace.ops import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class OpCost:
    """One profiled op, or its share in a fused one; a row of `op_costs`.

    Attributes:
        layer: layer that created the op or whose op it differentiates; None where there is no
            such layer, or where it is not known.
        pass_: the pass.
        op_type: TensorFlow op type, or HLO opcode.
        op_name: op name as profiled; for a share of an XLA instruction the TensorFlow op's.
        device: plane of the trace.
        calls_per_step: events per step.
        ns_per_step: self time per step; sums exactly to the trace's total per step.
        rule: how it was attributed, see `frostline.attribute.rules`.
        graph_op: name of the traced step's op that it was matched to; None where it was placed by
            other means.
        typical_ns_per_step: median over the profiled steps of its self time in a step, so that a
            step which was disturbed while it was profiled does not count; None where not known.
        wait_ns_per_step: idle time of the device before its events, within steps, per step; sums
            exactly to the trace's idle time within steps.
        typical_wait_ns_per_step: median over the profiled steps of that wait in a step; None where
            not known.
        short_calls_per_step: events per step that last less than
            `frostline.trace.ops.SHORT_NS`.
    """

    layer: str | None
    pass_: Pass
    op_type: str
    op_name: str
    device: str
    calls_per_step: float
    ns_per_step: int
    rule: str
    graph_op: str | None = None
    typical_ns_per_step: int | None = None
    wait_ns_per_step: int = 0
    typical_wait_ns_per_step: int | None = None
    short_calls_per_step: float = 0.0


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Split an integer by weights, exactly, by the largest remainder; in ties the first ones gain.

    Args:
        total: what to split; not negative.
        weights: not negative; where all are 0, the parts are equal.

    Returns:
        One part per weight; their sum is `total`.

    Raises:
        ValueError: no weights for something to split.
    """
    if not weights:
        if total:
            raise ValueError(f"no weights to split {total} by")
        return []
    used = list(weights) if any(weights) else [1] * len(weights)
    whole = sum(used)
    parts = [total * weight // whole for weight in used]
    remainders = [total * weight % whole for weight in used]
    by_remainder = sorted(range(len(used)), key=lambda index: -remainders[index])
    for index in by_remainder[: total - sum(parts)]:
        parts[index] += 1
    return parts


def per_step(total_ns: int, steps: int) -> int:
    """Total time / steps, rounded half to even."""
    quotient, remainder = divmod(total_ns, steps)
    return quotient + (2 * remainder > steps or (2 * remainder == steps and quotient % 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTime:
    """Where the devices' time of a step goes, in nanoseconds per step, summed over devices.

    Attributes:
        busy_ns: at least one op ran.
        wait_ns: idle within the step, each time before some op.
        between_ns: idle between steps.
    """

    busy_ns: int
    wait_ns: int
    between_ns: int


def device_time(trace: Trace) -> DeviceTime:
    """Split the devices' time per step; the parts add up to it exactly.

    Raises:
        ConservationError: the trace's own busy and idle times do not add up to its device time.
    """
    parts = (trace.busy_ns, trace.wait_ns, trace.between_ns)
    check_conserved(trace.device_ns, parts)
    busy, wait, between = apportion(per_step(trace.device_ns, trace.steps), parts)
    return DeviceTime(busy_ns=busy, wait_ns=wait, between_ns=between)


def check_conserved(before_ns: int, costs: Iterable[OpCost | int]) -> None:
    """Check that costs add up to what there was before a transformation.

    All are integer nanoseconds, per step or in total.

    Raises:
        ConservationError: they do not add up.
    """
    after_ns = sum(cost if isinstance(cost, int) else cost.ns_per_step for cost in costs)
    if after_ns != before_ns:
        raise ConservationError(
            f"attributed times add up to {after_ns} ns, the trace says {before_ns} ns "
            f"({after_ns - before_ns:+d} ns); this is a defect of the program, please report it "
            "with the trace"
        )
