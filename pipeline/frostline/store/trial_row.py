"""The columns of `trials`, and one of its rows as a typed value.

In: the parts of a row, each made where its columns become known, or a mapping by column as Arrow
gives it. Out: `TrialRow`. Imports no Arrow, so that analysis and rendering can be used and tested
without it.

The fields are the schema: from them come Arrow's schema and `docs/tables.md`. Columns are only ever
added; a change of meaning raises `frostline.store.schema.SCHEMA_VERSION`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from frostline.store.columns import TableRow
from frostline.trial import Jit, Setting, Strategy
from frostline.variant import variant_key

RUNS_EAGERLY = "RunsEagerly"
"""`error_type` of an ok row without passes, because its step is not compiled."""

_PASSES = (
    "forward", "activation_gradient", "weight_gradient", "optimizer", "input", "other",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PlannedColumns(TableRow):
    """What is known before a run."""

    trial_id: Annotated[str, "Readable slug and a hash of all that affects the result."]
    study: Annotated[str, "The study's name."]
    model: Annotated[str, "The model's name in the study."]
    variant: Annotated[str | None, "The variant's name in the study; null: the plain model."]
    policy: Annotated[str, "The expanded freeze policy, itself valid as a policy."]
    aliases: Annotated[tuple[str, ...], "Other policies of the study with this configuration."]
    frozen_layers: Annotated[tuple[str, ...], "Layers with nothing left to train."]
    frozen_variables: Annotated[tuple[str, ...], "Paths of the frozen variables."]
    frozen_params: Annotated[int | None, "Elements of the frozen variables.", "parameters"]
    total_params: Annotated[int | None, "Elements trainable in the baseline.", "parameters"]
    frozen_fraction: Annotated[float | None, "frozen_params / total_params.", "1"]
    earliest_trainable_layer: Annotated[
        int | None,
        "Index, from 0, of the first layer, in order of first use, that still trains. Everything "
        "shown to people counts from 1.",
    ]
    batch_size: Annotated[int, "Examples per step.", "examples"]
    optimizer: Annotated[
        str | None, "Keras identifier, with its arguments; null: the compiled model's own."
    ]
    precision: Annotated[str, "Keras dtype policy."]
    jit_compile: Annotated[Jit, "What the study asked for: auto, true or false."]
    strategy: Annotated[Strategy, "single or mirrored."]
    is_control: Annotated[bool, "An independently built copy of the baseline."]
    replicate: Annotated[int, "Number among the controls; 0 otherwise."]
    anchor: Annotated[str | None, "Which anchor of the cost model it is; null: none."]

    @property
    def differs(self) -> bool:
        """Whether it freezes anything, or is a variant of the model."""
        return bool(self.frozen_variables) or self.variant is not None

    @property
    def model_key(self) -> str:
        """The name of the model, or of its variant, among facts and logs."""
        return variant_key(self.model, self.variant)

    @property
    def is_anchor(self) -> bool:
        """Whether predictions are made from it; every control has the configuration of one."""
        return self.is_control or self.anchor is not None

    @property
    def setting(self) -> Setting:
        """The training setting."""
        return Setting(
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            precision=self.precision,
            jit_compile=self.jit_compile,
            strategy=self.strategy,
        )


@dataclass(frozen=True, kw_only=True)
class OutcomeColumns(TableRow):
    """How the trial ended."""

    status: Annotated[Literal["ok", "failed"], "ok or failed."]
    error_stage: Annotated[str | None, "Where it failed; `profile` on an ok row: no trace."]
    error_type: Annotated[str | None, "Short name of the cause."]
    error_message: Annotated[str | None, "What happened and what to do about it."]
    warnings: Annotated[tuple[str, ...], "Notes on an ok trial; none is an error."]
    attempts: Annotated[int, "How often the trial was started, this time included."]


@dataclass(frozen=True, kw_only=True)
class TimingColumns(TableRow):
    """What was measured without a profiler."""

    pairs: Annotated[int | None, "Pairs that take part in the estimate."]
    pairing: Annotated[Literal["interleaved", "sandwich"] | None, "interleaved or sandwich."]
    stop_reason: Annotated[str | None, "target_ci or max_pairs."]
    cycle_steps: Annotated[
        int | None,
        "Steps after which the work repeats; samples and profiles are multiples of it.",
    ]
    step_ns: Annotated[int | None, "Median unprofiled step time of the trial.", "ns"]
    baseline_step_ns: Annotated[
        int | None, "Median step time of the baseline measured beside it.", "ns"
    ]
    speedup: Annotated[float | None, "Median of the paired ratios baseline / trial.", "1"]
    speedup_low: Annotated[float | None, "Lower end of its 95% interval.", "1"]
    speedup_high: Annotated[float | None, "Upper end of its 95% interval.", "1"]
    noise_floor: Annotated[
        float | None,
        "Largest of |speedup - 1| and the interval's half-width over the controls of this "
        "model and setting committed so far; the reader recomputes it over all of them.",
        "1",
    ]
    profiler_overhead: Annotated[float | None, "Profiled / unprofiled step time.", "1"]
    energy_joules_per_step: Annotated[float | None, "Device energy; null where not counted.", "J"]
    examples_per_second: Annotated[
        float | None,
        "Examples of the batches that ran / step time; null where not countable.",
        "1/s",
    ]


@dataclass(frozen=True, kw_only=True)
class ProfileColumns(TableRow):
    """What a trace says, and its attribution."""

    forward_ns: Annotated[
        int | None,
        "Profiled op time per step, forward; like the next three a lower bound where some of its "
        "ops left no event (unobserved_forward_ops), and null where none did.",
        "ns",
    ]
    activation_gradient_ns: Annotated[
        int | None, "Profiled op time per step, gradients passed on (dX).", "ns"
    ]
    weight_gradient_ns: Annotated[
        int | None, "Profiled op time per step, gradients of weights (dW).", "ns"
    ]
    optimizer_ns: Annotated[
        int | None, "Profiled op time per step, from gradients to updates.", "ns"
    ]
    input_ns: Annotated[
        int | None, "Profiled op time per step, input pipeline and host-to-device copies.", "ns"
    ]
    other_ns: Annotated[int | None, "Profiled op time per step that belongs to no pass.", "ns"]
    input_ahead_ns: Annotated[
        int | None,
        "Part of input_ns on threads of the input pipeline that work ahead of the step, blocked "
        "or not: no part of the step's time. Null in older sweeps.",
        "ns",
    ]
    forward_wait_ns: Annotated[
        int | None,
        "Idle time of the device per profiled step, before ops of the forward pass; like the next "
        "five a model on CPUs without XLA: idle time shared out over all ops that ran.",
        "ns",
    ]
    activation_gradient_wait_ns: Annotated[int | None, "Idle time before ops of dX.", "ns"]
    weight_gradient_wait_ns: Annotated[int | None, "Idle time before ops of dW.", "ns"]
    optimizer_wait_ns: Annotated[int | None, "Idle time before ops of the optimizer.", "ns"]
    input_wait_ns: Annotated[int | None, "Idle time before ops of the input.", "ns"]
    other_wait_ns: Annotated[int | None, "Idle time before ops of no pass.", "ns"]
    busy_ns: Annotated[
        int | None,
        "Per step, union of the ops' intervals on a device, summed over devices, without "
        "input_ahead_ns.",
        "ns",
    ]
    waiting_ns: Annotated[
        int | None,
        "Per profiled step, time in which a device was idle, summed over devices; busy_ns and "
        "waiting_ns are the devices' whole time. Null in schema version 1.",
        "ns",
    ]
    between_steps_ns: Annotated[
        int | None, "Part of waiting_ns between steps; the waits by pass are the others.", "ns"
    ]
    unobserved_ops: Annotated[
        int | None,
        "Ops of the traced step that ran and left no event, as TensorFlow's cheap ops on CPUs do; "
        "null under XLA, on accelerators, and where the step's graph is not known.",
    ]
    unobserved_forward_ops: Annotated[int | None, "Those of the forward pass."]
    unobserved_activation_gradient_ops: Annotated[int | None, "Those of dX."]
    unobserved_weight_gradient_ops: Annotated[int | None, "Those of dW."]
    unobserved_optimizer_ops: Annotated[int | None, "Those of the optimizer."]
    attributed_fraction: Annotated[float | None, "Share of op time whose pass is not other.", "1"]
    trace_steps: Annotated[int | None, "Training steps in the trace."]

    @property
    def passes_ns(self) -> dict[str, int] | None:
        """Profiled op time per step by pass, in nanoseconds; None without a trace.

        A pass of which no op left an event counts with 0: nothing of it was observed. What the
        input pipeline does ahead of the step is left out.
        """
        found = _by_pass(self, "ns")
        if found is not None:
            found["input"] -= self.input_ahead_ns or 0
        return found

    @property
    def waits_ns(self) -> dict[str, int] | None:
        """Idle time of the devices per profiled step by pass; None where it is not known."""
        return _by_pass(self, "wait_ns")


def _by_pass(row: ProfileColumns, unit: str) -> dict[str, int] | None:
    found = {name: getattr(row, f"{name}_{unit}") for name in _PASSES}
    if all(value is None for value in found.values()):
        return None
    return {name: value or 0 for name, value in found.items()}


@dataclass(frozen=True, kw_only=True)
class PeakColumns(TableRow):
    """The most memory that the trial alone held at one time."""

    peak_memory_bytes: Annotated[
        int | None,
        "Memory of the trial alone at its peak: on GPUs the allocator's peak; on CPUs what its "
        "model holds and what its profiled steps requested, large tensors only.",
        "B",
    ]
    peak_memory_source: Annotated[
        Literal["allocator", "profile"] | None,
        "allocator: the device's own account; profile: the allocator's events in the profile.",
    ]
    allocator_slack_bytes: Annotated[
        int | None,
        "What the allocator gave to profiled steps at their peak beyond what was requested; null "
        "where the profile has no such events.",
        "B",
    ]

    @property
    def judged_peak_bytes(self) -> int | None:
        """The peak that a prediction is judged by: what tensors asked for, where that is known.

        What the allocator adds depends on which free blocks it happens to find. Without a profile
        it is not known, and the peak is the allocator's; a profile's account has none of it.
        """
        peak = self.peak_memory_bytes
        if peak is None or not self.is_judged_by_requests:
            return peak
        return peak - (self.allocator_slack_bytes or 0)

    @property
    def is_judged_by_requests(self) -> bool:
        """Whether `judged_peak_bytes` leaves out what the allocator added."""
        return self.allocator_slack_bytes is not None and self.peak_memory_source != "profile"


@dataclass(frozen=True, kw_only=True)
class HeldColumns(TableRow):
    """What the trial's model holds before a step runs, from shapes and types."""

    weights_bytes: Annotated[
        int | None, "All weights of the model, frozen ones and statistics included.", "B"
    ]
    optimizer_slots_bytes: Annotated[int | None, "All variables of its optimizer.", "B"]
    input_bytes: Annotated[int | None, "One batch; null where its size is open.", "B"]


@dataclass(frozen=True, kw_only=True)
class PredictedColumns(TableRow):
    """What the cost model says, once all anchors are there."""

    predicted_step_ns: Annotated[int | None, "Step time by the cost model.", "ns"]
    gradients_bytes: Annotated[
        int | None,
        "Part of the predicted peak: tensors of the backward pass and of the optimizer that are "
        "alive then. With weights_bytes, optimizer_slots_bytes, input_bytes and the next two it "
        "adds up to predictions.predicted_peak_bytes.",
        "B",
    ]
    activations_bytes: Annotated[
        int | None, "Part of the predicted peak: tensors of the forward pass alive then.", "B"
    ]
    workspace_bytes: Annotated[
        int | None,
        "Part of the predicted peak that no tensor of the step explains, from the anchors: "
        "workspaces of kernels and what the allocator adds; negative where tensors share memory.",
        "B",
    ]


@dataclass(frozen=True, kw_only=True)
class AttemptColumns(TableRow):
    """Where, with what and how long the last attempt ran."""

    host: Annotated[str | None, "Host name of the node."]
    device_kind: Annotated[str | None, "Model of the device, or of the CPU."]
    device_id: Annotated[str | None, "GPU UUID, or the CPU cores held."]
    jit_resolved: Annotated[bool | None, "Whether XLA compiled the step."]
    trace_path: Annotated[str | None, "Trace file, relative to OUT; null: not kept or none."]
    frostline_version: Annotated[str, "Version of the program that measured it."]
    tensorflow_version: Annotated[str | None, "TensorFlow of its measuring process."]
    keras_version: Annotated[str | None, "Keras of its measuring process."]
    started_at: Annotated[datetime, "Start of the last attempt.", "UTC"]
    duration_s: Annotated[float, "Wall time of the last attempt, storing excluded.", "s"]
    build_s: Annotated[float | None, "Part of duration_s: building the model.", "s"]
    compile_s: Annotated[float | None, "Part of duration_s: tracing, compiling the step.", "s"]
    stepping_s: Annotated[float | None, "Part of duration_s: steps of both arms, all of them.", "s"]
    check_s: Annotated[float | None, "Part of duration_s: the freeze check.", "s"]
    profile_s: Annotated[float | None, "Part of duration_s: the profiled window.", "s"]
    convert_s: Annotated[float | None, "Part of duration_s: converting, attributing traces.", "s"]
    process_rss_bytes: Annotated[
        int | None, "Memory of the measuring process once the trial was freed.", "B"
    ]
    process_trials: Annotated[
        int | None, "Trials that the measuring process had served, this one included."
    ]
    profile_windows: Annotated[
        int | None, "Windows that were profiled; the least disturbed one is kept."
    ]
    step_compilations: Annotated[
        int | None,
        "Training steps compiled for it: its own, and the baseline's where that was lost.",
    ]


@dataclass(frozen=True, kw_only=True)
class DeviceColumns(TableRow):
    """The state of the trial's GPUs right before and after its pairs, as the driver tells it."""

    throttled: Annotated[
        bool | None,
        "Heat or the hardware's protection held a GPU's clock down, before or after; null on CPUs.",
    ]
    clock_mhz_before: Annotated[int | None, "Lowest clock of the multiprocessors.", "MHz"]
    clock_mhz_after: Annotated[int | None, "Lowest clock of the multiprocessors.", "MHz"]
    temperature_celsius_before: Annotated[int | None, "Temperature of the hottest GPU.", "°C"]
    temperature_celsius_after: Annotated[int | None, "Temperature of the hottest GPU.", "°C"]
    power_watts_before: Annotated[float | None, "Power drawn by all of its GPUs.", "W"]
    power_watts_after: Annotated[float | None, "Power drawn by all of its GPUs.", "W"]
    throttle_reasons_before: Annotated[
        tuple[str, ...] | None, "Why clocks were held down, by NVML; empty: they were not."
    ]
    throttle_reasons_after: Annotated[tuple[str, ...] | None, "Why clocks were held down, by NVML."]


@dataclass(frozen=True, kw_only=True)
class TrialRow(  # dataclasses take the fields of the last base first
    DeviceColumns,
    AttemptColumns,
    PredictedColumns,
    PeakColumns,
    HeldColumns,
    ProfileColumns,
    TimingColumns,
    OutcomeColumns,
    PlannedColumns,
):
    """One row per trial, failed ones included. The file of the row is the trial's commit."""

    @staticmethod
    def joined(
        *,
        planned: PlannedColumns,
        outcome: OutcomeColumns,
        timing: TimingColumns,
        profile: ProfileColumns,
        held: HeldColumns,
        peak: PeakColumns,
        predicted: PredictedColumns,
        attempt: AttemptColumns,
        device: DeviceColumns,
    ) -> TrialRow:
        """The row made of all its parts."""
        parts = (planned, outcome, timing, profile, held, peak, predicted, attempt, device)
        return TrialRow.from_mapping({k: v for part in parts for k, v in part.values().items()})
