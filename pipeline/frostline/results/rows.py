"""From what one attempt at a trial gave to the rows of every table. Pure.

In: `TrialRun`. Out: `TrialTables`. A failed trial has one row, in `trials`; a trial that was timed
and left no usable trace has its pass columns null. Times in a trace are sums over its steps and the
tables hold times per step, in integers: they are apportioned so that the parts add up to the whole
exactly, and rows that would not are refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from frostline.attribute.costs import OpCost, check_conserved, per_step
from frostline.attribute.step_graph import PASSES, Pass, StepGraph
from frostline.facts.model_facts import ModelFacts
from frostline.measure.messages import Measured
from frostline.policies import layer_modes
from frostline.store.outdir import TrialTables
from frostline.trace.ops import Trace
from frostline.trial import Trial
from frostline.version import __version__

Row = Mapping[str, object]


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
        host, device_kind, device_id, jit_resolved: where and how; None where it did not get there.
        tensorflow_version, keras_version: of the measuring process, the same.
        failure: without `measured`: why it failed; with it: why there is no trace.
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
    trials = [_trial_row(run)]
    if run.measured is None:
        return TrialTables(trial_id=run.trial.trial_id, trials=trials)
    return TrialTables(
        trial_id=run.trial.trial_id,
        trials=trials,
        steps=_steps(run),
        op_costs=op_cost_rows(run.trial.trial_id, run.costs),
        layers=_layers(run),
        graph_ops=_graph_ops(run),
    )


def noise_of(measured: Measured) -> float:
    """What a control says about noise: |speedup - 1|, or the interval's half-width if larger."""
    half_width = (measured.speedup_high - measured.speedup_low) / 2
    return max(abs(measured.speedup - 1.0), half_width)


def planned_columns(trial: Trial, *, known: bool = True) -> Row:
    """The columns of `trials` that do not take a run to be known.

    Args:
        trial: the trial.
        known: False where the model could not be built, so that its size is not known.
    """
    setting = trial.setting
    return {
        "trial_id": trial.trial_id,
        "study": trial.study,
        "model": trial.model.name,
        "policy": trial.policy,
        "aliases": list(trial.aliases),
        "frozen_layers": list(trial.frozen_layers),
        "frozen_variables": list(trial.frozen_variables),
        "frozen_params": trial.frozen_params if known else None,
        "total_params": trial.total_params if known else None,
        "frozen_fraction": trial.frozen_fraction if known else None,
        "earliest_trainable_layer": trial.earliest_trainable_layer if known else None,
        "batch_size": setting.batch_size,
        "optimizer": setting.optimizer,
        "precision": setting.precision,
        "jit_compile": setting.jit_compile,
        "strategy": setting.strategy,
        "is_control": trial.is_control,
        "replicate": trial.replicate,
        "anchor": trial.anchor,
    }


def _trial_row(run: TrialRun) -> Row:
    failure = run.failure
    return {
        **planned_columns(run.trial, known=run.facts is not None),
        "jit_resolved": run.jit_resolved,
        "status": run.status,
        "error_stage": failure.stage if failure else None,
        "error_type": failure.kind if failure else None,
        "error_message": failure.message if failure else None,
        "attempts": run.attempts,
        "noise_floor": run.noise_floor,
        "host": run.host,
        "device_kind": run.device_kind,
        "device_id": run.device_id,
        "trace_path": run.trace_path,
        "frostline_version": __version__,
        "tensorflow_version": run.tensorflow_version,
        "keras_version": run.keras_version,
        "started_at": run.started_at,
        "duration_s": run.duration_s,
        "convert_s": run.convert_s,
        "process_trials": run.process_trials,
        **_measured_columns(run),
        **(pass_columns(run.trace, run.costs) if run.trace is not None else {}),
    }


def _measured_columns(run: TrialRun) -> Row:
    measured = run.measured
    if measured is None:
        return {"warnings": list(run.facts.facts_warnings) if run.facts else []}
    seconds = measured.seconds
    profiled = measured.profiled_step_ns
    return {
        "warnings": [*measured.warnings, *(run.trace.warnings if run.trace else ())],
        "pairs": len({one.pair for one in measured.samples if not one.warmup and one.pair >= 0}),
        "pairing": measured.pairing,
        "stop_reason": measured.stop_reason,
        "step_ns": measured.step_ns,
        "baseline_step_ns": measured.baseline_step_ns,
        "speedup": measured.speedup,
        "speedup_low": measured.speedup_low,
        "speedup_high": measured.speedup_high,
        "profiler_overhead": None if profiled is None else profiled / measured.step_ns,
        "peak_memory_bytes": measured.peak_memory_bytes,
        "energy_joules_per_step": measured.energy_joules_per_step,
        "examples_per_second": run.trial.setting.batch_size * 1e9 / measured.step_ns,
        "build_s": seconds.get("build"),
        "compile_s": seconds.get("trace"),
        "stepping_s": seconds.get("step"),
        "check_s": seconds.get("check"),
        "profile_s": seconds.get("profile"),
        "process_rss_bytes": measured.rss_bytes,
    }


def pass_columns(trace: Trace, costs: Sequence[OpCost]) -> Row:
    """The columns of `trials` that come from a trace and its attribution."""
    by_pass: dict[Pass, int] = dict.fromkeys(PASSES, 0)
    for cost in costs:
        by_pass[cost.pass_] += cost.ns_per_step
    total_ns = sum(by_pass.values())
    return {
        **{f"{name}_ns": ns for name, ns in by_pass.items()},
        "busy_ns": per_step(trace.busy_ns, trace.steps),
        "attributed_fraction": 1 - by_pass["other"] / total_ns if total_ns else None,
        "trace_steps": trace.steps,
    }


def _steps(run: TrialRun) -> list[Row]:
    return [
        {
            "trial_id": run.trial.trial_id,
            "arm": sample.arm,
            "pair": sample.pair,
            "position": sample.position,
            "warmup": sample.warmup,
            "n_steps": sample.n_steps,
            "step_ns": sample.step_ns,
        }
        for sample in (run.measured.samples if run.measured else ())
    ]


def op_cost_rows(trial_id: str, costs: Sequence[OpCost]) -> list[Row]:
    """A trial's rows of `op_costs`."""
    return [
        {
            "trial_id": trial_id,
            "layer": cost.layer,
            "pass": cost.pass_,
            "op_type": cost.op_type,
            "op_name": cost.op_name,
            "device": cost.device,
            "calls_per_step": cost.calls_per_step,
            "ns_per_step": cost.ns_per_step,
            "rule": cost.rule,
            "graph_op": cost.graph_op,
            "typical_ns_per_step": cost.typical_ns_per_step,
        }
        for cost in costs
    ]


def _layers(run: TrialRun) -> list[Row]:
    if run.facts is None:
        return []
    return layer_rows(
        run.trial.trial_id,
        run.facts,
        run.trial.frozen_variables,
        costs=run.costs if run.trace is not None else None,
        forward_flops=_forward_flops(run),
        gradient_norms=run.measured.gradient_norms if run.measured else None,
    )


def layer_rows(
    trial_id: str,
    facts: ModelFacts,
    frozen_variables: Sequence[str],
    *,
    costs: Sequence[OpCost] | None,
    forward_flops: Mapping[str, int],
    gradient_norms: Mapping[str, float] | None = None,
) -> list[Row]:
    """A trial's rows of `layers`.

    Args:
        trial_id: the trial.
        facts: of its model.
        frozen_variables: paths of what it froze.
        costs: per step; None without a usable trace.
        forward_flops: by layer, for the trial's batch size; layers that are not known are left out.
        gradient_norms: by layer, where the trial recorded them.
    """
    times: dict[tuple[str | None, Pass], int] = defaultdict(int)
    for cost in costs or ():
        times[cost.layer, cost.pass_] += cost.ns_per_step
    # Fused and grouped updates belong to no layer; then no layer's share is known.
    optimizer_known = any(layer is not None and name == "optimizer" for layer, name in times)
    modes = layer_modes(facts, frozen_variables)

    def time_ns(layer: str, name: Pass) -> int | None:
        if costs is None or (name == "optimizer" and not optimizer_known):
            return None
        return times[layer, name]

    return [
        {
            "trial_id": trial_id,
            "layer": layer.name,
            "index": layer.index,
            "kind": layer.kind,
            "params": layer.params,
            "trainable": modes[layer.name] == "trainable",
            "mode": modes[layer.name],
            "forward_ns": time_ns(layer.name, "forward"),
            "activation_gradient_ns": time_ns(layer.name, "activation_gradient"),
            "weight_gradient_ns": time_ns(layer.name, "weight_gradient"),
            "optimizer_ns": time_ns(layer.name, "optimizer"),
            "forward_flops": forward_flops.get(layer.name),
            "gradient_norm": (gradient_norms or {}).get(layer.name),
        }
        for layer in facts.layers
    ]


def _forward_flops(run: TrialRun) -> Mapping[str, int]:
    """FLOPs by layer for the trial's own batch size, from whichever source has that."""
    flops: dict[str, int] = defaultdict(int)
    if run.graph is not None:
        for op in run.graph.ops:
            if op.layer is not None and op.forward_flops is not None:
                flops[op.layer] += op.forward_flops
    elif run.facts is not None and run.facts.batch_size == run.trial.setting.batch_size:
        for layer in run.facts.layers:
            if layer.forward_flops is not None:
                flops[layer.name] = layer.forward_flops
    return flops


def _graph_ops(run: TrialRun) -> list[Row]:
    if run.graph is None:
        return []
    variables = run.graph.variables
    return [
        {
            "trial_id": run.trial.trial_id,
            "op_name": op.op_name,
            "op_type": op.op_type,
            "layer": op.layer,
            "pass": op.pass_,
            "needed_by": [variables[index] for index in op.needed_by],
            "forward_flops": op.forward_flops,
        }
        for op in run.graph.ops
    ]
