"""Reads the anchors of a model under a setting from a sweep's tables.

In: the rows of a group, and `op_costs`, `graph_ops` and `layers` of its anchors alone. Out: the
anchors' runs, as the cost model takes them, and the baseline's profile by layer. Refuses a group of
which no control left a trace. Rows of other trials are not read, so they cannot change a
prediction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import pyarrow as pa
import pyarrow.compute as pc

from frostline.analyse.busy import busy_fraction
from frostline.analyse.stored_model import read_graph
from frostline.attribute.rules import AHEAD
from frostline.attribute.step_graph import BACKWARD
from frostline.costmodel.anchor import AnchorRun, ProfiledOp
from frostline.costmodel.naive import LayerProfile
from frostline.costmodel.waits import (
    NEVER_IDLE,
    CompiledStep,
    Dispatched,
    IdleShares,
    StepTimes,
    idle_on_accelerator,
    idle_on_host,
    idle_when_compiled,
    optimizer_dispatch,
)
from frostline.device_id import is_cpu
from frostline.errors import UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.store.sweep import Sweep
from frostline.store.trial_row import RUNS_EAGERLY, TrialRow

TRAINABLE = "trainable"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorEvidence:
    """The profiled anchors of a model under a setting.

    Attributes:
        runs: one per anchor, `trainable` among them.
        baseline: the control that stands for `trainable`.
    """

    runs: tuple[AnchorRun, ...]
    baseline: TrialRow


def evidence_of(sweep: Sweep, rows: Sequence[TrialRow], facts: ModelFacts) -> AnchorEvidence:
    """Read the profiled anchors among the measured trials of one model under one setting.

    A variant's anchor `trainable` is the trial of the variant in which everything trains.

    Raises:
        UsageError: no control left a trace, or its graph is of another model.
    """
    candidates = [
        row for row in rows if _anchor_of(row) is not None and row.trace_steps and row.speedup
    ]
    costs = {row.trial_id: _costs(sweep, row) for row in candidates}
    chosen = _least_disturbed(candidates, costs)
    base = chosen.get(TRAINABLE)
    if base is None:
        eager = next((row for row in rows if row.error_type == RUNS_EAGERLY), None)
        if eager is not None:
            raise UsageError(f"{eager.error_message}, and run the study on a new OUT")
        raise UsageError(
            f"no {_whole(rows)} of it left a trace; run the study with profile_steps > 0, and see "
            "`frostline doctor` where profiling fails"
        )
    idle = _idle_shares(chosen, costs, facts)
    runs = [
        AnchorRun(
            name=name,
            frozen_variables=frozenset(row.frozen_variables),
            relative_step=_relative_step(row),
            ops=_profiled(row, costs[row.trial_id]),
            idle=idle[name],
            graph=read_graph(sweep, row.trial_id, facts) if row is base else None,
        )
        for name, row in chosen.items()
    ]
    return AnchorEvidence(runs=tuple(runs), baseline=base)


def layer_profiles(sweep: Sweep, trial_id: str) -> dict[str, LayerProfile]:
    """A trial's profile by layer; gradient times are 0 where it has no trace."""
    columns = [
        "layer", "index", "forward_flops", "activation_gradient_ns", "weight_gradient_ns",
    ]  # fmt: skip
    return {
        row["layer"]: LayerProfile(
            index=row["index"],
            forward_flops=row["forward_flops"],
            dx_ns=row["activation_gradient_ns"] or 0,
            dw_ns=row["weight_gradient_ns"] or 0,
        )
        for row in sweep.table("layers", columns, trials=[trial_id]).to_pylist()
    }


def _anchor_of(row: TrialRow) -> str | None:
    """The anchor that a trial is; every control has the configuration of `trainable`."""
    return TRAINABLE if row.is_control else row.anchor


def _costs(sweep: Sweep, row: TrialRow) -> pa.Table:
    """A trial's ops with the time and the wait that each typically has, where that is known.

    Outside the backward pass an op's price depends on its layer and pass alone, so such ops are
    summed. What the input pipeline does ahead is no cost of the step.
    """
    table = sweep.table(
        "op_costs",
        [
            "layer", "pass", "graph_op", "ns_per_step", "typical_ns_per_step", "wait_ns_per_step",
            "typical_wait_ns_per_step", "calls_per_step", "rule",
        ],
        trials=[row.trial_id],
    )  # fmt: skip
    table = table.filter(pc.not_equal(table["rule"], AHEAD))
    nothing = pa.scalar(0, pa.int64())
    backward = pc.is_in(table["pass"], pa.array(BACKWARD))
    ops = pa.table(
        {
            "layer": table["layer"],
            "pass": table["pass"],
            "graph_op": pc.if_else(backward, table["graph_op"], pa.scalar(None, pa.string())),
            "ns": pc.coalesce(table["typical_ns_per_step"], table["ns_per_step"]),
            "wait": pc.coalesce(
                table["typical_wait_ns_per_step"], table["wait_ns_per_step"], nothing
            ),
            "calls": table["calls_per_step"],
        }
    )
    return ops.group_by(["layer", "pass", "graph_op"], use_threads=False).aggregate(
        [("ns", "sum"), ("wait", "sum"), ("calls", "sum")]
    )


def _sum(costs: pa.Table, name: str) -> float:
    total: float | None = pc.sum(costs[name]).as_py()
    return total or 0


def _least_disturbed(
    candidates: Sequence[TrialRow], costs: Mapping[str, pa.Table]
) -> dict[str, TrialRow]:
    """The trial that stands for each anchor: of several, the one with the least op time.

    In tables of schema version 1 an op's typical time is another statistic, so rows of version 2,
    which know waits, go first.
    """
    found: dict[str, tuple[bool, float, TrialRow]] = {}
    for row in candidates:
        name = str(_anchor_of(row))
        total_ns = _sum(costs[row.trial_id], "ns_sum")
        rank = (row.waiting_ns is None, total_ns)
        if total_ns and (name not in found or rank < found[name][:2]):
            found[name] = (*rank, row)
    return {name: row for name, (_, _, row) in found.items()}


def _profiled(row: TrialRow, costs: pa.Table) -> tuple[ProfiledOp, ...]:
    columns = ("layer", "pass", "graph_op", "ns_sum", "wait_sum", "calls_sum")
    launches = not (row.jit_resolved or is_cpu(row.device_id or "cpu"))
    return tuple(
        ProfiledOp(
            layer=layer, pass_=pass_, graph_op=graph_op, ns_per_step=ns, wait_ns_per_step=wait_ns,
            kernels=calls if launches else 0.0,
        )
        for layer, pass_, graph_op, ns, wait_ns, calls in zip(
            *(costs[name].to_pylist() for name in columns), strict=True
        )
    )  # fmt: skip


def _idle_shares(
    chosen: Mapping[str, TrialRow], costs: Mapping[str, pa.Table], facts: ModelFacts
) -> dict[str, IdleShares]:
    """What of each anchor's unprofiled step its device is idle.

    On a CPU, ops and idle time share what else the machine did while it was profiled, so that the
    profile's own share of work holds. Rows of schema version 1 know no waits.
    """
    rows = chosen.values()
    if any(row.waiting_ns is None or row.device_id is None for row in rows):
        return dict.fromkeys(chosen, NEVER_IDLE)
    on_host = all(is_cpu(row.device_id or "") for row in rows)
    baseline_ns = median(row.baseline_step_ns or 0 for row in rows) or 1
    times = []
    for row in chosen.values():
        step_ns = baseline_ns * _relative_step(row)
        work_ns = _sum(costs[row.trial_id], "ns_sum")
        times.append(
            StepTimes(
                step=step_ns,
                work=step_ns * (busy_fraction(row) or 1.0) if on_host else work_ns,
                wait_ns=_sum(costs[row.trial_id], "wait_sum"),
            )
        )
    if on_host and all(row.jit_resolved for row in rows):
        variables = len(facts.variables)
        compiled = [
            CompiledStep(
                step=one.step, work=one.work, updated=variables - len(row.frozen_variables)
            )
            for row, one in zip(rows, times, strict=True)
        ]
        return dict(zip(chosen, idle_when_compiled(compiled), strict=True))
    shares = idle_on_host(times) if on_host else idle_on_accelerator(times)
    if all(row.unobserved_ops is not None for row in rows):  # waits are shared out, not seen
        relative = optimizer_dispatch(
            [
                _dispatched(costs[row.trial_id], step=one.step, waits=one.step * share.waits)
                for row, one, share in zip(rows, times, shares, strict=True)
            ]
        )
        shares = [replace(share, optimizer=relative) for share in shares]
    return dict(zip(chosen, shares, strict=True))


def _dispatched(costs: pa.Table, *, step: float, waits: float) -> Dispatched:
    """How many ops an anchor's step dispatched, the optimizer's apart."""
    optimizer = _sum(costs.filter(pc.equal(costs["pass"], "optimizer")), "calls_sum")
    return Dispatched(
        step=step, waits=waits, optimizer=optimizer, others=_sum(costs, "calls_sum") - optimizer
    )


def _relative_step(row: TrialRow) -> float:
    """Step time / the baseline's; that of a control is 1 by definition, whatever was measured."""
    return 1.0 if row.is_control or not row.speedup else 1 / row.speedup


def _whole(rows: Sequence[TrialRow]) -> str:
    """What shows everything training, in words."""
    return "trial with everything trained" if any(row.variant for row in rows) else "control"
