"""An anchor run: a profiled configuration, its ops priced in baseline steps.

In: an anchor's profiled ops, and its measured step time relative to the baseline. Out: ops with a
price, a unit, and the variables that need them. Times become shares of a baseline step: one factor
per anchor scales its ops' work to the busy part of its unprofiled step, another one their waits to
the idle part. So neither the machine's drift between anchors nor the profiler's overhead affects
the prices, and an op that never waits pays for no wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from frostline.attribute.step_graph import Pass, StepGraph
from frostline.attribute.walk import members, union, with_repeats
from frostline.costmodel.units import FIXED
from frostline.costmodel.waits import IdleShares
from frostline.errors import UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.policies import layer_modes
from frostline.policies.modes import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledOp:
    """What the cost model needs of `op_costs` rows; times per step, in nanoseconds.

    Attributes:
        kernels: launched per step, where TensorFlow launches those of each op by themselves on an
            accelerator; 0 on a CPU and under XLA, which fuse ops as they like.
    """

    layer: str | None
    pass_: Pass
    graph_op: str | None
    ns_per_step: int
    wait_ns_per_step: int
    kernels: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorRun:
    """One measured and profiled anchor.

    Attributes:
        name: `trainable`, `pruned`, `pass_through` or `extra:<n>`.
        frozen_variables: paths of the frozen variables.
        relative_step: its unprofiled step time / the baseline's, from paired ratios.
        ops: everything that was profiled.
        idle: what of its unprofiled step the device is idle.
        graph: its traced step; only that of `trainable` is needed.
    """

    name: str
    frozen_variables: frozenset[str]
    relative_step: float
    ops: tuple[ProfiledOp, ...]
    idle: IdleShares
    graph: StepGraph | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedOp:
    """An op of an anchor with its price.

    Attributes:
        unit: the layer whose mode decides about it; `FIXED` where no layer does.
        pass_: the pass.
        needed_by: variables whose gradient needs it; empty outside the backward pass, where the op
            could not be matched to the graph, and where there is no graph.
        price: in baseline steps, its wait included.
        wait: the part of the price for which the device waits.
        kernels: as in `ProfiledOp`.
        graph_op: its name in the traced step; None where the op was not matched.
    """

    unit: str
    pass_: Pass
    needed_by: frozenset[str]
    price: float
    wait: float
    kernels: float
    graph_op: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedAnchor:
    """An anchor ready to be summed over."""

    name: str
    modes: Mapping[str, Mode]
    trained: frozenset[str]
    ops: tuple[PricedOp, ...]

    def price(self, unit: str, pass_: Pass) -> float:
        """Sum over a unit's ops of a pass, in baseline steps."""
        return sum(op.price for op in self.ops if op.unit == unit and op.pass_ == pass_)


def priced(run: AnchorRun, facts: ModelFacts, units: Mapping[str, str]) -> PricedAnchor:
    """Price an anchor's ops; `units` is `units_of` the trainable anchor.

    Raises:
        UsageError: nothing was profiled.
    """
    total_ns = sum(op.ns_per_step for op in run.ops)
    if total_ns <= 0:
        raise UsageError(f"anchor {run.name} has no profiled op time; profile_steps must be > 0")
    op_waits = [_wait_ns(op, run.idle) for op in run.ops]
    wait_ns = sum(op_waits)
    waits = run.idle.waits if wait_ns else 0.0
    working = 1 - waits - run.idle.between - run.idle.updates
    factor = run.relative_step * working / total_ns
    wait_factor = run.relative_step * waits / wait_ns if wait_ns else 0.0
    between = PricedOp(
        unit=FIXED,
        pass_="other",
        needed_by=frozenset(),
        price=run.relative_step * run.idle.between,
        wait=0.0,
        kernels=0.0,
        graph_op=None,
    )
    needs = _needs(run.graph) if run.graph is not None else {}
    everything = {variable.path for variable in facts.variables}
    updated = [each for each in facts.variables if each.path not in run.frozen_variables]
    update = run.relative_step * run.idle.updates / len(updated) if updated else 0.0
    return PricedAnchor(
        name=run.name,
        modes=layer_modes(facts, run.frozen_variables),
        trained=frozenset(everything - run.frozen_variables),
        ops=(
            between,
            *(
                PricedOp(
                    unit=variable.layer,
                    pass_="optimizer",
                    needed_by=frozenset(),
                    price=update,
                    wait=update,
                    kernels=0.0,
                    graph_op=None,
                )
                for variable in updated
                if update
            ),
            *(
                PricedOp(
                    unit=units.get(op.layer or FIXED, FIXED),
                    pass_=op.pass_,
                    needed_by=needs.get(op.graph_op or "", frozenset()),
                    price=op.ns_per_step * factor + op_wait_ns * wait_factor,
                    wait=op_wait_ns * wait_factor,
                    kernels=op.kernels,
                    graph_op=op.graph_op,
                )
                for op, op_wait_ns in zip(run.ops, op_waits, strict=True)
            ),
        ),
    )


def _wait_ns(op: ProfiledOp, idle: IdleShares) -> float:
    return op.wait_ns_per_step * (idle.optimizer if op.pass_ == "optimizer" else 1.0)


def _needs(graph: StepGraph) -> dict[str, frozenset[str]]:
    """Variables by op; thousands of ops share some hundred sets of up to hundreds of names.

    An op that others repeat runs in their place, and serves their variables as well.
    """
    masks = with_repeats(
        [union(1 << position for position in op.needed_by) for op in graph.ops],
        [op.repeats for op in graph.ops],
    )
    sets = {mask: frozenset(graph.variables[i] for i in members(mask)) for mask in set(masks)}
    return {op.op_name: sets[mask] for op, mask in zip(graph.ops, masks, strict=True)}
