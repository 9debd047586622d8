"""Attributes and predicts a sweep again, from the traces and the graphs that it kept.

In: OUT. Out: the tables `op_costs`, `layers` and `predictions`, the pass columns of `trials` and
TensorBoard's scalars, written again trial by trial; samples, step times and speedups stay as they
were measured. Useful after a change of the attribution rules or of the cost model. Needs neither a
GPU nor TensorFlow, unless the steps are to be traced again (`frostline.sweep.retrace`).

A trial is left as it is, and named, when its trace or its model's facts were not kept or the trace
cannot be used. In every other trial, lost, invented or wrongly credited time is an error. Holds
OUT's lock, so it cannot run beside a sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

from frostline.analyse.stored_model import load_facts, read_graph
from frostline.attribute.attribute import attribute
from frostline.attribute.costs import check_conserved, per_step
from frostline.attribute.frozen import check_frozen
from frostline.attribute.step_graph import StepGraph
from frostline.errors import ConservationError, CreditError, SweepError, TraceError
from frostline.memory.activations import kept_activations
from frostline.memory.allocated import with_allocations
from frostline.notebook import one_line
from frostline.prediction import write_predictions
from frostline.results.detail_rows import layer_rows, op_cost_rows, program_op_rows
from frostline.results.memory_columns import peak_columns
from frostline.results.profile_columns import profile_columns
from frostline.scratch import scratch_folder
from frostline.store.files import OutsideError
from frostline.store.schema import GraphOpRow, LayerRow, ProgramOpRow
from frostline.store.sweep import Sweep, as_sweep, open_sweep
from frostline.store.trial_row import OutcomeColumns, PeakColumns, TrialRow
from frostline.sweep.retrace import retrace as traced_again
from frostline.sweep.study_to_run import study_to_run
from frostline.tensorboard.events import events_path, trial_events
from frostline.trace.converter import TraceConverter
from frostline.trace.ops import Trace, in_training_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Reattributed:
    """What `reattribute` did.

    Attributes:
        rewritten: trials whose trace was attributed again, by `trial_id`.
        left: why others were left as they are, by `trial_id`.
        untraced: why steps were not traced again though that was asked for, by `trial_id`.
        predicted: trials whose predictions changed.
        notices: models and settings without a cost model, and why.
    """

    rewritten: tuple[str, ...]
    left: Mapping[str, str]
    untraced: Mapping[str, str]
    predicted: int
    notices: tuple[str, ...]

    def __repr__(self) -> str:
        facts = {"left as they are": str(len(self.left)), "predictions": str(self.predicted)}
        return one_line("Reattributed", f"{len(self.rewritten)} trials", facts)


def reattribute(
    out: Sweep | str | PathLike[str],
    *,
    retrace: bool = False,
    study: str | PathLike[str] | None = None,
    trust_study: bool = False,
    tell: Callable[[str], None] = lambda _line: None,
) -> Reattributed:
    """Attribute every kept trace of a sweep again, and predict every trial again.

    Args:
        out: the output folder, a local path or a URI; or a sweep that was opened there.
        retrace: build and trace the models of the sweep again first, and fill in what it did not
            record. Needs TensorFlow, and no GPU; no step is run.
        study: with `retrace`, path of the study file beside its builders; None: OUT's copy.
        trust_study: with `retrace`, run what OUT's copy names, whoever wrote it.
        tell: given a line for each trial.

    Raises:
        UsageError: with `retrace`, the study or its builders cannot be used from here.
        SweepError: OUT is no sweep, or a sweep is running on it or has taken it over.
        StorageError: OUT cannot be read or written.
        ConservationError, CreditError: attributed times do not add up, or a frozen variable has
            time for its gradient; a defect.
    """
    rewritten: list[str] = []
    left: dict[str, str] = {}
    opened = as_sweep(out)
    with (
        opened.out.lock() as hold,
        scratch_folder(prefix="frostline-reattribute-") as scratch,
        TraceConverter(scratch=scratch) as converter,
    ):
        sweep = open_sweep(opened.out.address)  # as it is now that nobody else writes
        untraced: Mapping[str, str] = {}
        if retrace:
            file = None if study is None else Path(study)
            named = study_to_run(sweep, file, trusted=trust_study)
            untraced = traced_again(sweep, named, tell=tell, still_ours=hold.check)
            sweep = open_sweep(opened.out.address)
        for row in sweep.trial_rows():
            hold.check()
            reason = _rewrite(sweep, row, converter, scratch)
            if reason is None:
                rewritten.append(row.trial_id)
            else:
                left[row.trial_id] = reason
            tell(f"{row.trial_id}: {f'left as it is, {reason}' if reason else 'attributed again'}")
        hold.check()
        predicted, notices = write_predictions(open_sweep(opened.out.address))
    return Reattributed(
        rewritten=tuple(rewritten),
        left=left,
        untraced=untraced,
        predicted=predicted,
        notices=notices,
    )


def _rewrite(sweep: Sweep, row: TrialRow, converter: TraceConverter, scratch: Path) -> str | None:
    """Attribute one trial again; the reason when it stays as it is."""
    if row.status != "ok":
        return "it failed"
    if row.trace_path is None:
        return "no trace of it was kept"
    try:
        facts = load_facts(sweep, row.model_key)
        graph = read_graph(
            sweep, row.trial_id, facts, frozen=row.frozen_variables, tensors=row.is_anchor
        )
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
    if graph is not None:
        graph = with_allocations(graph, trace.allocations)
    columns = profile_columns(trace, costs, graph).values()
    columns |= _peak(row, trace).values()
    if row.error_stage == "profile":  # it has a usable trace after all
        columns |= _without_error(row).values()
    before = sweep.rows(LayerRow, trials=[row.trial_id])
    layers = layer_rows(
        row.trial_id,
        facts,
        row.frozen_variables,
        costs=costs,
        # What the measuring process recorded: no trace says it again.
        forward_flops={
            one.layer: one.forward_flops for one in before if one.forward_flops is not None
        },
        gradient_norms={
            one.layer: one.gradient_norm for one in before if one.gradient_norm is not None
        },
        activation_bytes=_activations(graph, before),
    )
    sweep.out.amend(
        row.trial_id,
        tables={
            "op_costs": op_cost_rows(row.trial_id, costs),
            "layers": layers,
            **_program(row, trace, graph),
            **_allocated(sweep, row, graph),
        },
        columns=columns,
    )
    samples = sweep.table("steps", trials=[row.trial_id]).to_pylist()
    events = trial_events(row.values() | columns, samples)
    sweep.out.put_file(events, events_path(row.trial_id))
    return None


def _program(
    row: TrialRow, trace: Trace, graph: StepGraph | None
) -> Mapping[str, Sequence[ProgramOpRow]]:
    if trace.program is None or graph is None or not row.is_anchor:
        return {}
    return {"program_ops": program_op_rows(row.trial_id, trace.program, graph)}


def _peak(row: TrialRow, trace: Trace) -> PeakColumns:
    """The measured peak; what was read from a profile before is read again."""
    of_profile = row.peak_memory_source == "profile"
    return peak_columns(None if of_profile else row.peak_memory_bytes, row, trace.allocation)


def _allocated(
    sweep: Sweep, row: TrialRow, graph: StepGraph | None
) -> Mapping[str, Sequence[GraphOpRow]]:
    """A step, an anchor's completed by what the profile says of its ops' memory."""
    if graph is None:
        return {}
    stored = sweep.rows(GraphOpRow, trials=[row.trial_id])
    return {
        "graph_ops": [
            replace(old, output_bytes=op.output_bytes, temporary_bytes=op.temporary_bytes)
            if graph.has_tensors
            else old
            for old, op in zip(stored, graph.ops, strict=True)
        ]
    }


def _activations(graph: StepGraph | None, before: Sequence[LayerRow]) -> Mapping[str, int] | None:
    """What each layer keeps, from the step where its tensors are known, else as recorded."""
    kept = None if graph is None else kept_activations(graph)
    if kept is not None:
        return kept
    found = {one.layer: one.activation_bytes for one in before if one.activation_bytes is not None}
    return found or None


def _without_error(row: TrialRow) -> OutcomeColumns:
    return OutcomeColumns(
        status=row.status,
        error_stage=None,
        error_type=None,
        error_message=None,
        warnings=row.warnings,
        attempts=row.attempts,
    )
