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

from frostline.analyse.stored_model import load_facts, read_graph
from frostline.attribute.attribute import attribute
from frostline.attribute.costs import check_conserved, per_step
from frostline.attribute.frozen import check_frozen
from frostline.errors import ConservationError, CreditError, SweepError, TraceError
from frostline.prediction import write_predictions
from frostline.results.rows import layer_rows, op_cost_rows, pass_columns
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
        graph = read_graph(sweep, trial_id, facts, frozen=row["frozen_variables"])
    except SweepError as error:
        return str(error)
    with TemporaryDirectory(prefix="frostline-") as scratch:
        xplane = Path(scratch) / Path(row["trace_path"]).name
        if not sweep.out.fetch(row["trace_path"], xplane):
            return f"its trace {row['trace_path']} is gone"
        try:
            trace = converter.convert(xplane)
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
        forward_flops=_recorded(sweep, trial_id, "forward_flops"),
        gradient_norms=_recorded(sweep, trial_id, "gradient_norm"),
    )
    sweep.out.amend(
        trial_id,
        tables={"op_costs": op_cost_rows(trial_id, costs), "layers": layers},
        columns=columns,
    )
    events = trial_events({**row, **columns}, sweep.table("steps", trials=[trial_id]).to_pylist())
    sweep.out.put_file(events, events_path(trial_id))
    return None


def _recorded(sweep: Sweep, trial_id: str, column: str) -> dict[str, Any]:
    """What the measuring process found out by layer; no trace says it again."""
    stored = sweep.table("layers", ["layer", column], trials=[trial_id]).to_pylist()
    return {row["layer"]: row[column] for row in stored if row[column] is not None}
