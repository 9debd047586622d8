"""Reads the anchors of a model under a setting from a sweep's tables.

In: the rows of a group, and `op_costs`, `graph_ops` and `layers` of its anchors alone. Out: the
anchors' runs, as the cost model takes them, and the baseline's profile by layer. Refuses a group of
which no control left a trace. Rows of other trials are not read, so they cannot change a
prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from frostline.analyse.stored_model import read_graph
from frostline.costmodel.anchor import AnchorRun, ProfiledOp
from frostline.costmodel.model import BACKWARD
from frostline.costmodel.naive import LayerProfile
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
            "no control of it left a trace; run the study with profile_steps > 0, and see "
            "`frostline doctor` where profiling fails"
        )
    runs = [
        AnchorRun(
            name=name,
            frozen_variables=frozenset(row.frozen_variables),
            relative_step=1.0 if name == TRAINABLE or not row.speedup else 1 / row.speedup,
            ops=_profiled(costs[row.trial_id]),
            graph=read_graph(sweep, row.trial_id, facts) if row is base else None,
        )
        for name, row in chosen.items()
    ]
    return AnchorEvidence(runs=tuple(runs), baseline=base)


def layer_profiles(sweep: Sweep, trial_id: str) -> dict[str, LayerProfile]:
    """A trial's profile by layer; gradient times are 0 where it has no trace."""
    columns = ["layer", "index", "params", "forward_flops", *_GRADIENTS]
    return {
        row["layer"]: LayerProfile(
            index=row["index"],
            params=row["params"],
            forward_flops=row["forward_flops"],
            dx_ns=row["activation_gradient_ns"] or 0,
            dw_ns=row["weight_gradient_ns"] or 0,
        )
        for row in sweep.table("layers", columns, trials=[trial_id]).to_pylist()
    }


_GRADIENTS = ("activation_gradient_ns", "weight_gradient_ns")


def _anchor_of(row: TrialRow) -> str | None:
    """The anchor that a trial is; every control has the configuration of `trainable`."""
    return TRAINABLE if row.is_control else row.anchor


def _costs(sweep: Sweep, row: TrialRow) -> pa.Table:
    """A trial's ops with the time that each typically takes, where that is known.

    Outside the backward pass an op's price depends on its layer and pass alone, so such ops are
    summed.
    """
    table = sweep.table(
        "op_costs",
        ["layer", "pass", "graph_op", "ns_per_step", "typical_ns_per_step"],
        trials=[row.trial_id],
    )
    typical = pc.coalesce(table["typical_ns_per_step"], table["ns_per_step"])
    backward = pc.is_in(table["pass"], pa.array(BACKWARD))
    graph_op = pc.if_else(backward, table["graph_op"], pa.scalar(None, pa.string()))
    ops = pa.table(
        {"layer": table["layer"], "pass": table["pass"], "graph_op": graph_op, "ns": typical}
    )
    return ops.group_by(["layer", "pass", "graph_op"], use_threads=False).aggregate([("ns", "sum")])


def _least_disturbed(
    candidates: Sequence[TrialRow], costs: dict[str, pa.Table]
) -> dict[str, TrialRow]:
    """The trial that stands for each anchor: of several, the one with the least op time."""
    found: dict[str, tuple[int, TrialRow]] = {}
    for row in candidates:
        name = str(_anchor_of(row))
        total_ns = pc.sum(costs[row.trial_id]["ns_sum"]).as_py() or 0
        if total_ns and (name not in found or total_ns < found[name][0]):
            found[name] = (total_ns, row)
    return {name: row for name, (_, row) in found.items()}


def _profiled(costs: pa.Table) -> tuple[ProfiledOp, ...]:
    columns = (costs[name].to_pylist() for name in ("layer", "pass", "graph_op", "ns_sum"))
    return tuple(
        ProfiledOp(layer=layer, pass_=pass_, graph_op=graph_op, ns_per_step=ns)
        for layer, pass_, graph_op, ns in zip(*columns, strict=True)
    )
