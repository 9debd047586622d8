"""From what one attempt at a trial gave to the rows of every table. Pure.

In: `TrialRun`. Out: `TrialTables`. A failed trial has one row, in `trials`; a trial that was timed
and left no usable trace has its pass columns null. Times in a trace are sums over its steps and the
tables hold times per step, in integers: they are apportioned so that the parts add up to the whole
exactly, and rows that would not are refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Literal

from frostline.attribute.costs import OpCost, check_conserved, per_step
from frostline.attribute.step_graph import StepGraph
from frostline.facts.model_facts import ModelFacts
from frostline.measure.messages import OUT_OF_MEMORY, HeldBytes, Measured
from frostline.memory.activations import kept_activations
from frostline.memory.expected import expected_bytes
from frostline.noise import control_noise
from frostline.results.detail_rows import (
    graph_op_rows,
    layer_rows,
    op_cost_rows,
    program_op_rows,
    step_rows,
)
from frostline.results.memory_columns import peak_columns
from frostline.results.profile_columns import profile_columns
from frostline.store.publication import TrialTables
from frostline.store.schema import LayerRow, ProgramOpRow
from frostline.store.trial_row import (
    AttemptColumns,
    DeviceColumns,
    HeldColumns,
    OutcomeColumns,
    PeakColumns,
    PlannedColumns,
    PredictedColumns,
    ProfileColumns,
    TimingColumns,
    TrialRow,
)
from frostline.trace.ops import Trace
from frostline.trial import Trial
from frostline.version import __version__
from frostline.words import size


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a trial failed, or left no trace; as `frostline.errors.TrialError`."""

    stage: str
    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRun:
    """Everything that is known after one attempt at a trial.

    Attributes:
        trial: what was tried.
        facts: of its model; None where the model could not be built at all.
        attempts: starts, this one included.
        started_at: start of this attempt, with its time zone.
        duration_s: its wall time, storing excluded.
        host, device_kind, device_id, jit_resolved: where and how it ran; None where the attempt
            failed before that was known.
        tensorflow_version, keras_version: of the measuring process; None likewise.
        failure: without `measured`: why the trial failed; with `measured`: why there is no trace.
        measured: None for a failed trial.
        graph: the traced step; None when it could not be analysed.
        trace, costs: None and empty without a usable trace; costs are per step.
        convert_s: seconds for conversion and attribution.
        trace_path: of the kept trace, relative to OUT.
        noise_floor: over the controls of the group so far.
        process_trials: trials its measuring process had served, this one included.
    """

    trial: Trial
    facts: ModelFacts | None
    attempts: int
    started_at: datetime
    duration_s: float
    host: str | None = None
    device_kind: str | None = None
    device_id: str | None = None
    jit_resolved: bool | None = None
    tensorflow_version: str | None = None
    keras_version: str | None = None
    failure: Failure | None = None
    measured: Measured | None = None
    graph: StepGraph | None = None
    trace: Trace | None = None
    costs: tuple[OpCost, ...] = ()
    convert_s: float | None = None
    trace_path: str | None = None
    noise_floor: float | None = None
    process_trials: int | None = None

    @property
    def status(self) -> Literal["ok", "failed"]:
        """A trial that was timed is `ok`."""
        return "ok" if self.measured is not None else "failed"


def tables_of(run: TrialRun) -> TrialTables:
    """The rows of a trial, in every table; `predictions` are the analysis's to add.

    Raises:
        ConservationError: the costs do not add up to the trace's total.
    """
    if run.trace is not None:
        check_conserved(per_step(run.trace.total_ns, run.trace.steps), run.costs)
    trial_id = run.trial.trial_id
    trials = [trial_row(run)]
    if run.measured is None:
        return TrialTables(trial_id=trial_id, trials=trials)
    return TrialTables(
        trial_id=trial_id,
        trials=trials,
        steps=step_rows(trial_id, run.measured.samples),
        op_costs=op_cost_rows(trial_id, run.costs),
        layers=_layers(run, run.measured),
        graph_ops=graph_op_rows(trial_id, run.graph, tensors=run.trial.is_anchor)
        if run.graph is not None
        else (),
        program_ops=_program_ops(run),
    )


def noise_of(measured: Measured) -> float:
    """What a control says about noise."""
    return control_noise(measured.speedup, measured.speedup_low, measured.speedup_high)


def planned_columns(trial: Trial, *, known: bool = True) -> PlannedColumns:
    """The columns of `trials` that are known before a run.

    With `known` False the model could not be built, so that its size is not known.
    """
    return PlannedColumns(
        trial_id=trial.trial_id,
        study=trial.study,
        model=trial.model.plain_name,
        variant=trial.variant,
        policy=trial.policy,
        aliases=trial.aliases,
        frozen_layers=trial.frozen_layers,
        frozen_variables=trial.frozen_variables,
        frozen_params=trial.frozen_params if known else None,
        total_params=trial.total_params if known else None,
        frozen_fraction=trial.frozen_fraction if known else None,
        earliest_trainable_layer=trial.earliest_trainable_layer if known else None,
        **asdict(trial.setting),
        is_control=trial.is_control,
        replicate=trial.replicate,
        anchor=trial.anchor,
    )


def trial_row(run: TrialRun) -> TrialRow:
    """The row of a trial in `trials`."""
    return TrialRow.joined(
        planned=planned_columns(run.trial, known=run.facts is not None),
        outcome=_outcome(run),
        timing=_timing(run),
        profile=profile_columns(run.trace, run.costs, run.graph)
        if run.trace
        else ProfileColumns.nothing(),
        held=_held(run.measured),
        peak=_peak(run),
        predicted=PredictedColumns.nothing(),
        attempt=_attempt(run),
        device=_device(run.measured),
    )


def _outcome(run: TrialRun) -> OutcomeColumns:
    failure = run.failure
    if run.measured is None:
        warnings = run.facts.facts_warnings if run.facts else ()
    else:
        slowed = run.measured.slowed_by
        warnings = (
            *run.measured.warnings,
            *([f"its GPU was slowed down: {', '.join(slowed)}"] if slowed else []),
            *(run.trace.warnings if run.trace else ()),
        )
    return OutcomeColumns(
        status=run.status,
        error_stage=failure.stage if failure else None,
        error_type=failure.kind if failure else None,
        error_message=error_message(run),
        warnings=warnings,
        attempts=run.attempts,
    )


def error_message(run: TrialRun) -> str | None:
    """Why a trial failed, or left no trace; None for neither."""
    return None if run.failure is None else run.failure.message + _expected_memory(run)


def _expected_memory(run: TrialRun) -> str:
    """What a trial that ran out of memory was expected to need, in words."""
    if run.failure is None or run.failure.kind != OUT_OF_MEMORY or run.facts is None:
        return ""
    expected = expected_bytes(run.facts, run.trial.setting)
    if expected is None:
        return ""
    return f". With all layers training the model is expected to need about {size(expected)}"


def _timing(run: TrialRun) -> TimingColumns:
    measured = run.measured
    if measured is None:
        return replace(TimingColumns.nothing(), noise_floor=run.noise_floor)
    profiled = measured.profiled_step_ns
    return TimingColumns(
        pairs=len({one.pair for one in measured.samples if not one.warmup and one.pair >= 0}),
        pairing=measured.pairing,
        stop_reason=measured.stop_reason,
        cycle_steps=measured.steps_per_mark,
        step_ns=measured.step_ns,
        baseline_step_ns=measured.baseline_step_ns,
        speedup=measured.speedup,
        speedup_low=measured.speedup_low,
        speedup_high=measured.speedup_high,
        noise_floor=run.noise_floor,
        profiler_overhead=None if profiled is None else profiled / measured.step_ns,
        energy_joules_per_step=measured.energy_joules_per_step,
        examples_per_second=_examples_per_second(measured),
    )


def _examples_per_second(measured: Measured) -> float | None:
    """From the batches that ran, which need not have the study's batch size."""
    examples = measured.examples_per_step
    return None if examples is None else examples * 1e9 / measured.step_ns


def _attempt(run: TrialRun) -> AttemptColumns:
    seconds = run.measured.seconds if run.measured else {}
    return AttemptColumns(
        host=run.host,
        device_kind=run.device_kind,
        device_id=run.device_id,
        jit_resolved=run.jit_resolved,
        trace_path=run.trace_path,
        frostline_version=__version__,
        tensorflow_version=run.tensorflow_version,
        keras_version=run.keras_version,
        started_at=run.started_at,
        duration_s=run.duration_s,
        build_s=seconds.get("build"),
        compile_s=seconds.get("trace"),
        stepping_s=seconds.get("step"),
        check_s=seconds.get("check"),
        profile_s=seconds.get("profile"),
        convert_s=run.convert_s,
        process_rss_bytes=run.measured.rss_bytes if run.measured else None,
        process_trials=run.process_trials,
        profile_windows=run.measured.profile_windows if run.measured else None,
        step_compilations=run.measured.step_compilations if run.measured else None,
    )


def _held(measured: Measured | None) -> HeldColumns:
    if measured is None or measured.held is None:
        return HeldColumns.nothing()
    return held_columns(measured.held)


def _peak(run: TrialRun) -> PeakColumns:
    if run.measured is None:
        return PeakColumns.nothing()
    allocation = None if run.trace is None else run.trace.allocation
    return peak_columns(run.measured.peak_memory_bytes, _held(run.measured), allocation)


def held_columns(held: HeldBytes) -> HeldColumns:
    """What a trial's model holds, as columns of `trials`."""
    return HeldColumns(
        weights_bytes=held.weights,
        optimizer_slots_bytes=held.optimizer_slots,
        input_bytes=held.batch,
    )


def _device(measured: Measured | None) -> DeviceColumns:
    if measured is None:
        return DeviceColumns.nothing()
    before, after = measured.device_before, measured.device_after
    return DeviceColumns(
        throttled=measured.throttled,
        clock_mhz_before=before.clock_mhz if before else None,
        clock_mhz_after=after.clock_mhz if after else None,
        temperature_celsius_before=before.temperature_celsius if before else None,
        temperature_celsius_after=after.temperature_celsius if after else None,
        power_watts_before=before.power_watts if before else None,
        power_watts_after=after.power_watts if after else None,
        throttle_reasons_before=before.throttle_reasons if before else None,
        throttle_reasons_after=after.throttle_reasons if after else None,
    )


def _program_ops(run: TrialRun) -> list[ProgramOpRow]:
    program = None if run.trace is None else run.trace.program
    if program is None or run.graph is None or not run.trial.is_anchor:
        return []
    return program_op_rows(run.trial.trial_id, program, run.graph)


def _layers(run: TrialRun, measured: Measured) -> list[LayerRow]:
    if run.facts is None:
        return []
    return layer_rows(
        run.trial.trial_id,
        run.facts,
        run.trial.frozen_variables,
        costs=run.costs if run.trace is not None else None,
        forward_flops=_forward_flops(run),
        gradient_norms=measured.gradient_norms,
        activation_bytes=kept_activations(run.graph) if run.graph is not None else None,
    )


def _forward_flops(run: TrialRun) -> Mapping[str, int]:
    """FLOPs by layer for the trial's own batch size, from whichever source has that."""
    flops: dict[str, int] = defaultdict(int)
    if run.graph is not None:
        for op in run.graph.ops:
            if op.layer is not None and op.forward_flops is not None:
                flops[op.layer] += op.forward_flops
    # A call that runs several steps loops over them, and how often is not known when it is traced.
    if not flops and run.facts is not None and run.facts.batch_size == run.trial.setting.batch_size:
        for layer in run.facts.layers:
            if layer.forward_flops is not None:
                flops[layer.name] = layer.forward_flops
    return flops
