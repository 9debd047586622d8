"""The columns of `trials` that a profile fills: times and waits by pass, and what left no event.

In: a trace, its attributed costs, the traced step. Out: `ProfileColumns`. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from frostline.attribute.costs import OpCost, device_time
from frostline.attribute.dispatch import unobserved_by_pass
from frostline.attribute.rules import AHEAD
from frostline.attribute.step_graph import PASSES, Pass, StepGraph
from frostline.store.trial_row import ProfileColumns
from frostline.trace.ops import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class PassTimes:
    """Op time and idle time per step by pass, in nanoseconds."""

    op_ns: Mapping[Pass, int]
    wait_ns: Mapping[Pass, int]

    @staticmethod
    def of(costs: Iterable[OpCost]) -> PassTimes:
        """Sum over ops."""
        op_ns: dict[Pass, int] = dict.fromkeys(PASSES, 0)
        wait_ns: dict[Pass, int] = dict.fromkeys(PASSES, 0)
        for cost in costs:
            op_ns[cost.pass_] += cost.ns_per_step
            wait_ns[cost.pass_] += cost.wait_ns_per_step
        return PassTimes(op_ns=op_ns, wait_ns=wait_ns)


def profile_columns(
    trace: Trace, costs: Collection[OpCost], graph: StepGraph | None
) -> ProfileColumns:
    """The columns of `trials` that come from a trace, its attribution and the traced step."""
    times = PassTimes.of(costs)
    unseen = unobserved_by_pass(trace, costs, graph)
    device = device_time(trace)
    total_ns = sum(times.op_ns.values())

    def seen_ns(name: Pass) -> int | None:
        """Null where the pass ran and none of its ops left an event."""
        return None if not times.op_ns[name] and unseen and unseen[name] else times.op_ns[name]

    return ProfileColumns(
        forward_ns=seen_ns("forward"),
        activation_gradient_ns=seen_ns("activation_gradient"),
        weight_gradient_ns=seen_ns("weight_gradient"),
        optimizer_ns=seen_ns("optimizer"),
        input_ns=times.op_ns["input"],
        input_ahead_ns=sum(cost.ns_per_step for cost in costs if cost.rule == AHEAD),
        other_ns=times.op_ns["other"],
        forward_wait_ns=times.wait_ns["forward"],
        activation_gradient_wait_ns=times.wait_ns["activation_gradient"],
        weight_gradient_wait_ns=times.wait_ns["weight_gradient"],
        optimizer_wait_ns=times.wait_ns["optimizer"],
        input_wait_ns=times.wait_ns["input"],
        other_wait_ns=times.wait_ns["other"],
        busy_ns=device.busy_ns,
        waiting_ns=device.wait_ns + device.between_ns,
        between_steps_ns=device.between_ns,
        unobserved_ops=sum(unseen.values()) if unseen else None,
        unobserved_forward_ops=unseen["forward"] if unseen else None,
        unobserved_activation_gradient_ops=unseen["activation_gradient"] if unseen else None,
        unobserved_weight_gradient_ops=unseen["weight_gradient"] if unseen else None,
        unobserved_optimizer_ops=unseen["optimizer"] if unseen else None,
        attributed_fraction=1 - times.op_ns["other"] / total_ns if total_ns else None,
        trace_steps=trace.steps,
    )
