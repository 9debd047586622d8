"""A sweep's attribution and predictions anew, from the traces and the graphs that it kept.

In: OUT. Out: the tables `op_costs`, `layers` and `predictions`, the pass columns of `trials` and
TensorBoard's scalars, written again trial by trial; samples, step times and speedups stay as they
were measured. For the day when rules of attribution or the cost model have changed. Needs neither a
GPU nor TensorFlow.

A trial is left as it is, and named, when its trace or its model's facts were not kept or the trace
cannot be used; in no other may time be lost, invented, or credited to what is frozen. Holds OUT's
lock: not beside a sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from frostline.attribute.attribute import attribute
from frostline.attribute.costs import check_conserved, per_step
from frostline.attribute.frozen import check_frozen
from frostline.attribute.step_graph import GraphOp, StepGraph
from frostline.errors import ConservationError, CreditError, SweepError, TraceError
from frostline.facts.model_facts import ModelFacts
from frostline.prediction import load_facts, write_predictions
from frostline.results.rows import layer_rows, op_cost_rows, pass_columns
from frostline.store.files import OutsideError
from frostline.store.read import read_rows, row_files
from frostline.store.sweep import Sweep, open_sweep
from frostline.tensorboard.events import events_path, trial_events
from frostline.trace.converter import TraceConverter


@dataclass(frozen=True, slots=True, kw_only=True)
class Reattributed:
    """What was done.

    Attributes:
        rewritten: trials whose trace was attributed again, by `trial_id`.
        left: why others were left as they are, by `trial_id`.
        predicted: trials whose predictions changed.
        notices: models and settings without a cost model, and why.
    """

    rewritten: tuple[str, ...]
    left: Mapping[str, str]
    predicted: int
    notices: tuple[str, ...]


def reattribute(out: str, *, tell: Callable[[str], None] = lambda _line: None) -> Reattributed:
    """Attribute every kept trace of a sweep again, and predict every trial again.

    Args:
        out: the output folder: a local path or a URI.
        tell: given a line for each trial.

    Raises:
        SweepError: OUT is no sweep, or a sweep is running on it.
        StorageError: OUT cannot be read or written.
        ConservationError, CreditError: attributed times do not add up, or a frozen variable has
            time for its gradient; a defect.
    """
    rewritten: list[str] = []
    left: dict[str, str] = {}
    with open_sweep(out).out.lock(), TraceConverter() as converter:
        sweep = open_sweep(out)  # as it is now that nobody else writes
        for row in sweep.trials().to_pylist():
            trial_id = row["trial_id"]
            reason = _rewrite(sweep, row, converter)
            if reason is None:
                rewritten.append(trial_id)
            else:
                left[trial_id] = reason
            tell(f"{trial_id}: {f'left as it is, {reason}' if reason else 'attributed again'}")
        predicted, notices = write_predictions(open_sweep(out))
    return Reattributed(rewritten=tuple(rewritten), left=left, predicted=predicted, notices=notices)


def _rewrite(sweep: Sweep, row: Mapping[str, Any], converter: TraceConverter) -> str | None:
    """Attribute one trial again; the reason when it stays as it is."""
    trial_id = row["trial_id"]
    if row["status"] != "ok":
        return "it failed"
    if row["trace_path"] is None:
        return "no trace of it was kept"
    try:
        facts = load_facts(sweep, row["model"])
    except SweepError as error:
        return str(error)
    with TemporaryDirectory(prefix="frostline-") as scratch:
        xplane = Path(scratch) / Path(row["trace_path"]).name
        try:
            if not sweep.out.fetch(row["trace_path"], xplane):
                return f"its trace {row['trace_path']} is gone"
        except OutsideError as error:
            return f"its trace is not there: {error}"
        try:
            trace = converter.convert(xplane)
            graph = _graph(sweep, row, facts)
            costs = attribute(trace, graph)
            check_frozen(
                costs,
                graph,
                frozen_variables=row["frozen_variables"],
                frozen_layers=row["frozen_layers"],
            )
        except (ConservationError, CreditError):
            raise  # a defect of the program, and no hole in what was kept
        except TraceError as error:
            return f"its trace cannot be used: {error}"
    check_conserved(per_step(trace.total_ns, trace.steps), costs)
    columns = dict(pass_columns(trace, costs))
    if row["error_stage"] == "profile":  # it has a usable trace after all
        columns |= dict.fromkeys(("error_stage", "error_type", "error_message"))
    layers = layer_rows(
        trial_id,
        facts,
        row["frozen_variables"],
        costs=costs,
        forward_flops=_forward_flops(sweep, trial_id),
        gradient_norms=_gradient_norms(sweep, trial_id),
    )
    sweep.out.amend(
        trial_id,
        tables={"op_costs": op_cost_rows(trial_id, costs), "layers": layers},
        columns=columns,
    )
    events = trial_events({**row, **columns}, _of(sweep, "steps", trial_id).to_pylist())
    sweep.out.put_file(events, events_path(trial_id))
    return None


def _graph(sweep: Sweep, row: Mapping[str, Any], facts: ModelFacts) -> StepGraph | None:
    """The traced step as `graph_ops` keeps it; None where it could not be analysed."""
    variables = tuple(variable.path for variable in facts.variables)
    position = {path: index for index, path in enumerate(variables)}
    frozen = set(row["frozen_variables"])
    ops = tuple(
        GraphOp(
            op_name=op["op_name"],
            op_type=op["op_type"],
            layer=op["layer"],
            pass_=op["pass"],
            needed_by=tuple(position[path] for path in op["needed_by"]),
            forward_flops=op["forward_flops"],
        )
        for op in _of(sweep, "graph_ops", row["trial_id"]).to_pylist()
    )
    if not ops:
        return None
    trained = tuple(path for path in variables if path not in frozen)
    return StepGraph(variables=variables, trained=trained, ops=ops)


def _forward_flops(sweep: Sweep, trial_id: str) -> dict[str, int]:
    stored = _of(sweep, "layers", trial_id).to_pylist()
    return {row["layer"]: row["forward_flops"] for row in stored if row["forward_flops"]}


def _gradient_norms(sweep: Sweep, trial_id: str) -> dict[str, float]:
    """What the measuring process recorded; no trace says it again."""
    stored = _of(sweep, "layers", trial_id).to_pylist()
    return {
        row["layer"]: row["gradient_norm"] for row in stored if row["gradient_norm"] is not None
    }


def _of(sweep: Sweep, table: str, trial_id: str) -> pa.Table:
    files = sweep.out.files
    return read_rows(files, table, row_files(files, table, [trial_id]), None)
