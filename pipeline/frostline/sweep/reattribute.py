"""Attributes and predicts a sweep again, from the traces and the graphs that it kept.

In: OUT. Out: the tables `op_costs`, `layers` and `predictions`, the pass columns of `trials` and
TensorBoard's scalars, written again trial by trial; samples, step times and speedups stay as they
were measured. Useful after a change of the attribution rules or of the cost model. Needs neither a
GPU nor TensorFlow.

A trial is left as it is, and named, when its trace or its model's facts were not kept or the trace
cannot be used. In every other trial, lost, invented or wrongly credited time is an error. Holds
OUT's lock, so it cannot run beside a sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

from frostline.analyse.stored_model import load_facts, read_graph
from frostline.attribute.attribute import attribute
from frostline.attribute.costs import check_conserved, per_step
from frostline.attribute.frozen import check_frozen
from frostline.errors import ConservationError, CreditError, SweepError, TraceError
from frostline.notebook import one_line
from frostline.prediction import write_predictions
from frostline.results.detail_rows import layer_rows, op_cost_rows
from frostline.results.profile_columns import profile_columns
from frostline.scratch import scratch_folder
from frostline.store.files import OutsideError
from frostline.store.schema import LayerRow
from frostline.store.sweep import Sweep, as_sweep, open_sweep
from frostline.store.trial_row import OutcomeColumns, TrialRow
from frostline.tensorboard.events import events_path, trial_events
from frostline.trace.converter import TraceConverter
from frostline.trace.ops import in_training_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Reattributed:
    """What `reattribute` did.

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

    def __repr__(self) -> str:
        facts = {"left as they are": str(len(self.left)), "predictions": str(self.predicted)}
        return one_line("Reattributed", f"{len(self.rewritten)} trials", facts)


def reattribute(
    out: Sweep | str | PathLike[str], *, tell: Callable[[str], None] = lambda _line: None
) -> Reattributed:
    """Attribute every kept trace of a sweep again, and predict every trial again.

    Args:
        out: the output folder, a local path or a URI; or a sweep that was opened there.
        tell: given a line for each trial.

    Raises:
        SweepError: OUT is no sweep, or a sweep is running on it.
        StorageError: OUT cannot be read or written.
        ConservationError, CreditError: attributed times do not add up, or a frozen variable has
            time for its gradient; a defect.
    """
    rewritten: list[str] = []
    left: dict[str, str] = {}
    opened = as_sweep(out)
    with (
        opened.out.lock(),
        scratch_folder(prefix="frostline-reattribute-") as scratch,
        TraceConverter(scratch=scratch) as converter,
    ):
        sweep = open_sweep(opened.out.address)  # as it is now that nobody else writes
        for row in sweep.trial_rows():
            reason = _rewrite(sweep, row, converter, scratch)
            if reason is None:
                rewritten.append(row.trial_id)
            else:
                left[row.trial_id] = reason
            tell(f"{row.trial_id}: {f'left as it is, {reason}' if reason else 'attributed again'}")
        predicted, notices = write_predictions(open_sweep(opened.out.address))
    return Reattributed(rewritten=tuple(rewritten), left=left, predicted=predicted, notices=notices)


def _rewrite(sweep: Sweep, row: TrialRow, converter: TraceConverter, scratch: Path) -> str | None:
    """Attribute one trial again; the reason when it stays as it is."""
    if row.status != "ok":
        return "it failed"
    if row.trace_path is None:
        return "no trace of it was kept"
    try:
        facts = load_facts(sweep, row.model)
        graph = read_graph(sweep, row.trial_id, facts, frozen=row.frozen_variables)
    except SweepError as error:
        return str(error)
    with TemporaryDirectory(dir=scratch) as folder:
        xplane = Path(folder) / Path(row.trace_path).name
        try:
            if not sweep.out.fetch(row.trace_path, xplane):
                return f"its trace {row.trace_path} is gone"
        except OutsideError as error:
            return f"its trace is not there: {error}"
        try:
            trace = in_training_steps(converter.convert(xplane), row.cycle_steps or 1)
            costs = attribute(trace, graph)
            check_frozen(
                costs,
                graph,
                frozen_variables=row.frozen_variables,
                frozen_layers=row.frozen_layers,
            )
        except (ConservationError, CreditError):
            raise  # a defect of the program, not a gap in what was kept
        except TraceError as error:
            return f"its trace cannot be used: {error}"
    check_conserved(per_step(trace.total_ns, trace.steps), costs)
    columns = profile_columns(trace, costs, graph).values()
    if row.error_stage == "profile":  # it has a usable trace after all
        columns |= _without_error(row).values()
    before = sweep.rows(LayerRow, trials=[row.trial_id])
    layers = layer_rows(
        row.trial_id,
        facts,
        row.frozen_variables,
        costs=costs,
        # What the measuring process recorded: no trace says it again.
        forward_flops={one.layer: one.forward_flops for one in before if one.forward_flops},
        gradient_norms={
            one.layer: one.gradient_norm for one in before if one.gradient_norm is not None
        },
    )
    sweep.out.amend(
        row.trial_id,
        tables={"op_costs": op_cost_rows(row.trial_id, costs), "layers": layers},
        columns=columns,
    )
    samples = sweep.table("steps", trials=[row.trial_id]).to_pylist()
    events = trial_events(row.values() | columns, samples)
    sweep.out.put_file(events, events_path(row.trial_id))
    return None


def _without_error(row: TrialRow) -> OutcomeColumns:
    return OutcomeColumns(
        status=row.status,
        error_stage=None,
        error_type=None,
        error_message=None,
        warnings=row.warnings,
        attempts=row.attempts,
    )
