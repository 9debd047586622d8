"""The tables, as literal data: one `Column` a column, with its unit and a line of documentation.

`docs/tables.md` is generated from here. Columns are only ever added; a change of meaning raises
`SCHEMA_VERSION`. Every time is in nanoseconds unless the name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SCHEMA_VERSION = 1

Type = Literal["string", "int64", "float64", "bool", "timestamp", "list<string>"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: name, type, whether a value is always there, unit, and what it means."""

    name: str
    type: Type
    required: bool
    unit: str
    doc: str


C = Column

TRIALS = (
    C("trial_id", "string", True, "", "Readable slug and a hash of all that affects the result."),
    C("study", "string", True, "", "The study's name."),
    C("model", "string", True, "", "The model's name in the study."),
    C("policy", "string", True, "", "The expanded freeze policy, itself valid as a policy."),
    C("aliases", "list<string>", True, "", "Other policies of the study with this configuration."),
    C("frozen_layers", "list<string>", True, "", "Layers with nothing left to train."),
    C("frozen_variables", "list<string>", True, "", "Paths of the frozen variables."),
    C("frozen_params", "int64", False, "parameters", "Elements of the frozen variables."),
    C("total_params", "int64", False, "parameters", "Elements trainable in the baseline."),
    C("frozen_fraction", "float64", False, "1", "frozen_params / total_params."),
    C(
        "earliest_trainable_layer", "int64", False, "",
        "Index of the first layer, in order of first use, that still trains.",
    ),
    C("batch_size", "int64", True, "examples", "Examples per step."),
    C("optimizer", "string", False, "", "Keras identifier; null: the compiled model's own."),
    C("precision", "string", True, "", "Keras dtype policy."),
    C("jit_compile", "string", True, "", "As asked for: auto, true or false."),
    C("jit_resolved", "bool", False, "", "Whether XLA compiled the step."),
    C("strategy", "string", True, "", "single or mirrored."),
    C("is_control", "bool", True, "", "An independently built copy of the baseline."),
    C("replicate", "int64", True, "", "Number among the controls; 0 otherwise."),
    C("anchor", "string", False, "", "Which anchor of the cost model it is; null: none."),
    C("status", "string", True, "", "ok or failed."),
    C("error_stage", "string", False, "", "Where it failed; `profile` on an ok row: no trace."),
    C("error_type", "string", False, "", "Short name of the cause."),
    C("error_message", "string", False, "", "What happened and what to do about it."),
    C("warnings", "list<string>", True, "", "What was noticed and is legal."),
    C("attempts", "int64", True, "", "How often the trial was started, this time included."),
    C("pairs", "int64", False, "", "Pairs that take part in the estimate."),
    C("pairing", "string", False, "", "interleaved or sandwich."),
    C("stop_reason", "string", False, "", "target_ci or max_pairs."),
    C("step_ns", "int64", False, "ns", "Median unprofiled step time of the trial."),
    C("baseline_step_ns", "int64", False, "ns", "Median of the baseline beside it."),
    C("speedup", "float64", False, "1", "Median of the paired ratios baseline / trial."),
    C("speedup_low", "float64", False, "1", "Lower end of its 95% bootstrap interval."),
    C("speedup_high", "float64", False, "1", "Upper end of its 95% bootstrap interval."),
    C(
        "noise_floor", "float64", False, "1",
        "Largest of |speedup - 1| and the interval's half-width over the controls of this model "
        "and setting committed so far; the reader recomputes it over all of them.",
    ),
    C("forward_ns", "int64", False, "ns", "Profiled op time per step, forward."),
    C("activation_gradient_ns", "int64", False, "ns", "Same, gradients passed on (dX)."),
    C("weight_gradient_ns", "int64", False, "ns", "Same, gradients of weights (dW)."),
    C("optimizer_ns", "int64", False, "ns", "Same, from gradients to updates."),
    C("input_ns", "int64", False, "ns", "Same, input pipeline and host-to-device copies."),
    C("other_ns", "int64", False, "ns", "Same, not attributed to a pass."),
    C("busy_ns", "int64", False, "ns", "Per step, union of the ops' intervals on the device."),
    C("attributed_fraction", "float64", False, "1", "Share of op time whose pass is not other."),
    C("profiler_overhead", "float64", False, "1", "Profiled / unprofiled step time."),
    C("peak_memory_bytes", "int64", False, "B", "Device memory of the trial alone; null on CPUs."),
    C("energy_joules_per_step", "float64", False, "J", "Device energy; null where not counted."),
    C("examples_per_second", "float64", False, "1/s", "batch_size / step time."),
    C("predicted_step_ns", "int64", False, "ns", "The cost model's, where anchors are there."),
    C("host", "string", False, "", "Host name of the node."),
    C("device_kind", "string", False, "", "Model of the device, or of the CPU."),
    C("device_id", "string", False, "", "GPU UUID, or the CPU cores held."),
    C("trace_path", "string", False, "", "Trace file, relative to OUT; null: not kept or none."),
    C("trace_steps", "int64", False, "", "Steps found in the trace."),
    C("frostline_version", "string", True, "", "Version of the program that measured it."),
    C("tensorflow_version", "string", False, "", "TensorFlow of its measuring process."),
    C("keras_version", "string", False, "", "Keras of its measuring process."),
    C("started_at", "timestamp", True, "UTC", "Start of the last attempt."),
    C("duration_s", "float64", True, "s", "Wall time of the last attempt, storing excluded."),
    C("build_s", "float64", False, "s", "Of it: building the model."),
    C("compile_s", "float64", False, "s", "Of it: tracing and compiling the step."),
    C("stepping_s", "float64", False, "s", "Of it: training steps of both arms, samples or not."),
    C("check_s", "float64", False, "s", "Of it: the freeze check."),
    C("profile_s", "float64", False, "s", "Of it: the profiled window."),
    C("convert_s", "float64", False, "s", "Of it: conversion and attribution of the trace."),
    C("process_rss_bytes", "int64", False, "B", "Measuring process after the trial was gone."),
    C("process_trials", "int64", False, "", "Trials that process had served, this one included."),
)  # fmt: skip

STEPS = (
    C("trial_id", "string", True, "", "The trial."),
    C("arm", "string", True, "", "baseline or trial."),
    C("pair", "int64", True, "", "Number of the pair; -1: warm-up before the first."),
    C("position", "int64", True, "", "0: first of its pair, 1: second (2 in a sandwich)."),
    C("warmup", "bool", True, "", "Takes no part in the estimate."),
    C("n_steps", "int64", True, "", "Steps in the block."),
    C("step_ns", "int64", True, "ns", "The block's wall time / n_steps."),
)

OP_COSTS = (
    C("trial_id", "string", True, "", "The trial."),
    C("layer", "string", False, "", "Layer that created the op or whose op it differentiates."),
    C("pass", "string", True, "", "The pass; see Method 8 of the guide."),
    C("op_type", "string", True, "", "TensorFlow op type, or HLO opcode."),
    C("op_name", "string", True, "", "Op name as profiled."),
    C("device", "string", True, "", "Plane of the trace."),
    C("calls_per_step", "float64", True, "1", "Events per step."),
    C("ns_per_step", "int64", True, "ns", "Self time per step; sums exactly to the trial's total."),
    C("rule", "string", True, "", "How it was attributed; docs/method.md lists the rules."),
    C("graph_op", "string", False, "", "Op of graph_ops that it was matched to, if any."),
    C("typical_ns_per_step", "int64", False, "ns", "Calls per step x the median event."),
)  # fmt: skip

LAYERS = (
    C("trial_id", "string", True, "", "The trial."),
    C("layer", "string", True, "", "Ownership path of the layer."),
    C("index", "int64", True, "", "Order of first use in the forward graph."),
    C("kind", "string", True, "", "Keras class."),
    C("params", "int64", True, "parameters", "Parameters trainable in the baseline."),
    C("trainable", "bool", True, "", "Something of it still trains."),
    C("mode", "string", True, "", "trainable, pass_through or pruned."),
    C("forward_ns", "int64", False, "ns", "Profiled op time per step; null without a trace."),
    C("activation_gradient_ns", "int64", False, "ns", "Same, dX."),
    C("weight_gradient_ns", "int64", False, "ns", "Same, dW."),
    C("optimizer_ns", "int64", False, "ns", "Same, update; null where it is not known by layer."),
    C("forward_flops", "int64", False, "FLOP", "Forward FLOPs per step, where registered."),
    C(
        "gradient_norm",
        "float64",
        False,
        "1",
        "Mean norm of the layer's gradient over some steps; first control only, where asked for.",
    ),
)

GRAPH_OPS = (
    C("trial_id", "string", True, "", "The trial."),
    C("op_name", "string", True, "", "Name in the traced training function."),
    C("op_type", "string", True, "", "TensorFlow op type."),
    C("layer", "string", False, "", "Layer that created it or whose op it differentiates."),
    C("pass", "string", True, "", "Pass by the graph."),
    C("needed_by", "list<string>", True, "", "Variables whose gradient needs this op."),
    C("forward_flops", "int64", False, "FLOP", "Of a forward op, where registered."),
)

PREDICTIONS = (
    C("trial_id", "string", True, "", "The trial."),
    C("predictor", "string", True, "", "three_anchor, or a naive predictor's name."),
    C("is_anchor", "bool", True, "", "The configuration is an anchor: never evidence."),
    C("predicted_step_ns", "int64", False, "ns", "baseline_step_ns / predicted_speedup."),
    C("predicted_speedup", "float64", False, "1", "Predicted baseline / predicted configuration."),
    C("measured_speedup", "float64", False, "1", "As in trials."),
    C("noise_floor", "float64", False, "1", "As in trials."),
)  # fmt: skip

TABLES: dict[str, tuple[Column, ...]] = {
    "trials": TRIALS,
    "steps": STEPS,
    "op_costs": OP_COSTS,
    "layers": LAYERS,
    "graph_ops": GRAPH_OPS,
    "predictions": PREDICTIONS,
}
