"""The messages between lease and measuring process: JSON lines, one message per line.

The lease writes `OpenGroup` and `RunTrial`, planning `InspectModel`, reattribution `RetraceStep`,
a check of the largest batch `RunAlone`; the process answers each with any number of `Progress`
lines and then one `Ready`, `Measured`, `Inspected`, `Retraced`, `RanAlone` or `Failed`. It ends
when its input does. Imports neither TensorFlow nor Keras, so that both sides can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from frostline.facts.model_facts import ModelFacts
from frostline.trial import MeasureSpec, ModelSpec, Setting, Trial

ArmName = Literal["baseline", "trial"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectModel:
    """Build the model, trace its training step and rehearse it; answer with `Inspected`."""

    op: Literal["inspect"] = "inspect"
    model: ModelSpec
    setting: Setting
    seed: int
    log_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetraceStep:
    """Build the model, freeze it and trace its training step; answer with `Retraced`.

    No step is run. The setting says whether XLA compiles it, so that a step which was measured on
    another kind of device is traced as it was there.

    Attributes:
        frozen_variables: paths of the variables that are frozen.
        graph_path: file that takes the traced step's ops, as `Measured.graph_file`.
    """

    op: Literal["retrace"] = "retrace"
    model: ModelSpec
    setting: Setting
    seed: int
    frozen_variables: tuple[str, ...]
    graph_path: str
    log_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenGroup:
    """Build and warm up the baseline that the following trials are compared with.

    Answer with `Ready`.
    """

    op: Literal["open"] = "open"
    model: ModelSpec
    setting: Setting
    measure: MeasureSpec
    log_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTrial:
    """Measure one trial against the open baseline; answer with `Measured`.

    Attributes:
        scratch: an existing, empty folder for the trace; belongs to the lease.
        log_path: file that takes the process's standard output and error from now on.
    """

    op: Literal["run"] = "run"
    trial: Trial
    scratch: str
    log_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAlone:
    """Train a configuration for a few steps, with no baseline beside it; answer with `RanAlone`.

    Attributes:
        frozen_variables, frozen_layers: as in `frostline.trial.Trial`.
        profile_steps: steps to profile where the device keeps no account of its memory.
        scratch: an existing, empty folder for the trace.
    """

    op: Literal["alone"] = "alone"
    model: ModelSpec
    setting: Setting
    seed: int
    frozen_variables: tuple[str, ...]
    frozen_layers: tuple[str, ...]
    profile_steps: int
    scratch: str
    log_path: str


Request = InspectModel | RetraceStep | OpenGroup | RunTrial | RunAlone


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The process entered a stage.

    Attributes:
        stage: `import`, `build`, `trace`, `check`, `measure`, `profile` or `gradients`.
    """

    op: Literal["progress"] = "progress"
    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """Answer to `InspectModel`."""

    op: Literal["inspected"] = "inspected"
    facts: ModelFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBytes:
    """What a model holds before a step runs, from shapes and types.

    Attributes:
        weights: bytes of all of its weights, frozen and untrainable ones included.
        optimizer_slots: bytes of all variables of its optimizer.
        batch: bytes of one batch; None where its size is open.
    """

    weights: int
    optimizer_slots: int
    batch: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraced:
    """Answer to `RetraceStep`; the graph is in its file. `held` is what the model holds."""

    op: Literal["retraced"] = "retraced"
    held: HeldBytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RanAlone:
    """The steps ran; answer to `RunAlone`.

    Attributes:
        held: what the model holds.
        peak_memory_bytes: the allocator's, where the device keeps an account.
        trace_file: of the profiled steps, where it does not; None with a reason in `error`.
        error: why there is neither.
    """

    op: Literal["ran_alone"] = "ran_alone"
    held: HeldBytes
    peak_memory_bytes: int | None
    trace_file: str | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The baseline is built and warm; answer to `OpenGroup`.

    Attributes:
        seconds: wall time by phase (`import`, `build`, `trace`, `step`).
        rss_bytes: resident size of the process.
        tensorflow_version, keras_version: versions that it measures with.
    """

    op: Literal["ready"] = "ready"
    device_kind: str
    device_id: str
    jit_compile: bool
    seconds: dict[str, float]
    rss_bytes: int
    tensorflow_version: str | None = None
    keras_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One block of steps; a row of `steps`.

    Attributes:
        arm: which of the two models stepped.
        pair: number of the pair; -1 for warm-up samples before the first pair.
        position: 0 for the first block of a pair, 1 for the second (2 in a sandwich).
        warmup: True for samples that take no part in the estimate.
        n_steps: steps in the block.
        step_ns: the block's time divided by its steps, in integer nanoseconds.
    """

    arm: ArmName
    pair: int
    position: int
    warmup: bool
    n_steps: int
    step_ns: int


SLOWED_BY = frozenset(
    {"hardware_slowdown", "thermal_slowdown", "hardware_thermal_slowdown", "power_brake"}
)
"""Reasons that make a trial count as throttled: heat, and the protection of the hardware. A GPU at
its power cap is as fast as it may be under that load, and would be no faster another time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """What the driver says of a trial's GPUs at one moment; None where it does not tell.

    Attributes:
        clock_mhz: lowest clock of their multiprocessors.
        temperature_celsius: the highest.
        power_watts: of all of them together.
        throttle_reasons: why clocks are held down; empty where they are not.
    """

    clock_mhz: int | None
    temperature_celsius: int | None
    power_watts: float | None
    throttle_reasons: tuple[str, ...] | None

    @property
    def throttled(self) -> bool | None:
        """Whether heat or the hardware's protection slows it."""
        reasons = self.throttle_reasons
        return None if reasons is None else not SLOWED_BY.isdisjoint(reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Answer to `RunTrial`: raw samples, and everything else that was observed.

    Attributes:
        samples: every sample, warm-ups too.
        pairing: `interleaved` or `sandwich`.
        stop_reason: `target_ci`, `max_pairs`.
        speedup, speedup_low, speedup_high: median of the paired ratios and its 95% interval.
        step_ns, baseline_step_ns: medians of the samples.
        profiled_step_ns: median time of a profiled step; None when nothing was profiled.
        steps_per_mark: training steps inside each step that the trace marks: a whole cycle of work.
        trace_file: path of the `.xplane.pb` in `scratch`; None when there is none.
        profile_error: why there is no trace, in words; None when there is one.
        runs_eagerly: the step is not compiled, and was not profiled for that reason.
        graph_file: the traced step's ops (`frostline.attribute.step_graph.StepGraph` as JSON) in
            `scratch`; None when the step could not be analysed (then a warning says why).
        warnings: legal findings of the check (a trainable value that did not move).
        peak_memory_bytes, energy_joules_per_step: None where they were not measured.
        held: what its model holds.
        seconds: wall time by phase (`build`, `trace`, `step`, `check`, `profile`).
        examples_per_step: mean over the batches that ran; None where that is not known.
        gradient_norms: mean gradient norm by layer; None where the trial does not record them.
        rss_bytes: resident size of the process after the trial was taken down.
        device_before, device_after: state of its GPUs before and after its pairs; None without any.
        profile_windows: windows that were profiled, of which the least disturbed is kept.
        step_compilations: steps compiled for it: its own, and the baseline's where that was lost.
    """

    op: Literal["measured"] = "measured"
    samples: tuple[Sample, ...]
    pairing: Literal["interleaved", "sandwich"]
    stop_reason: str
    speedup: float
    speedup_low: float
    speedup_high: float
    step_ns: int
    baseline_step_ns: int
    profiled_step_ns: int | None
    trace_file: str | None
    profile_error: str | None
    graph_file: str | None
    warnings: tuple[str, ...]
    peak_memory_bytes: int | None
    energy_joules_per_step: float | None
    seconds: dict[str, float]
    rss_bytes: int
    examples_per_step: float | None = None
    gradient_norms: dict[str, float] | None = None
    held: HeldBytes | None = None
    runs_eagerly: bool = False
    steps_per_mark: int = 1
    device_before: DeviceState | None = None
    device_after: DeviceState | None = None
    profile_windows: int | None = None
    step_compilations: int | None = None

    @property
    def throttled(self) -> bool | None:
        """Whether its GPUs were slowed before or after; None where that is not known."""
        states = (self.device_before, self.device_after)
        said = [state.throttled for state in states if state is not None]
        known = [each for each in said if each is not None]
        return any(known) if known else None

    @property
    def slowed_by(self) -> tuple[str, ...]:
        """The reasons for which it counts as throttled, ascending."""
        states = (self.device_before, self.device_after)
        said = {reason for state in states if state for reason in state.throttle_reasons or ()}
        return tuple(sorted(said & SLOWED_BY))


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A request failed; the process may go on with the next one unless `fatal`.

    Attributes:
        stage, kind, message: as in `frostline.errors.TrialError`.
        fatal: True when the process must be replaced.
    """

    op: Literal["failed"] = "failed"
    stage: str
    kind: str
    message: str
    fatal: bool = False

    @property
    def is_refusal(self) -> bool:
        """Whether the study asks for what cannot work, so that it has to be changed."""
        return self.kind in _REFUSALS


OUT_OF_MEMORY: Final = "OutOfMemory"
"""The kind of a failure for want of memory; the same attempt would fail again."""

_REFUSALS = frozenset(
    {
        "CannotVary", "FixedBatch", "NeedsData", "NoBatch", "NoGradients", "NoLoss", "NotADataset",
        "NotAModel", "NotBuilt", "StepFailed", "WrongBackend",
    }
)  # fmt: skip


Reply = Progress | Inspected | Retraced | RanAlone | Ready | Measured | Failed

REQUESTS: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="op")])
REPLIES: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="op")])


def line_of(message: Request | Reply) -> bytes:
    """A message as one line of JSON, newline included."""
    adapter = REPLIES if isinstance(message, Reply) else REQUESTS
    return adapter.dump_json(message) + b"\n"  # type: ignore[arg-type]
