"""What a profile says once it is read: ops with their times, per device, as plain values.

Made by `frostline.trace` in a process of its own, consumed by `frostline.attribute`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

EXECUTOR_TYPE = "Executor"
"""Type of the op that stands for TensorFlow's executor on the host; it takes no time, and its wait
is what the executor did after the last event of a step."""

SHORT_NS = 5_000
"""A kernel that ends sooner takes about as long to launch as to run (NVIDIA's and TensorFlow's
guides give 2 to 10 us for a launch)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpShare:
    """A TensorFlow op that an XLA instruction computes, alone or together with others.

    Attributes:
        op_name: TensorFlow op name from the HLO metadata, before grappler.
        op_type: TensorFlow op type from the HLO metadata, `` where it says none.
        weight: its part of the instruction's work, relative to the other shares; at least 1.
    """

    op_name: str
    op_type: str
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOp:
    """All events of one op on one device, over all traced steps.

    Attributes:
        device: plane of the trace (`/host:CPU`, `/device:GPU:0`).
        op_name: TensorFlow op name as profiled (after grappler), `` when there is none.
        op_type: TensorFlow op type, or the HLO opcode; for copies the direction (`MemcpyH2D`).
        hlo_op: XLA's name of the instruction, `` outside XLA.
        program: XLA's name of the program that it is part of, `` outside XLA.
        kernel: name of a kernel or copy where no op is known, else ``.
        calls: events.
        self_ns: sum of self times, integer nanoseconds.
        shares: what an XLA instruction computes, from the HLO; empty outside XLA.
        in_input: True for ops that the input pipeline ran on threads of its own.
        ahead: True for those of them that it ran ahead of the step, on no thread that the step
            waits for; no part of `busy_ns`, and never waiting.
        typical_ns: median over the traced steps of its total self time in a step, what the op takes
            in a step that nothing disturbs; None where it is not known.
        wait_ns: sum over all steps of the time that its device was idle before one of its events,
            within a step; integer nanoseconds.
        typical_wait_ns: median over the traced steps of that wait in a step; None where it is not
            known.
        short_calls: those of its events that last less than `SHORT_NS`.
    """

    device: str
    op_name: str
    op_type: str
    hlo_op: str
    kernel: str
    calls: int
    self_ns: int
    shares: tuple[OpShare, ...] = ()
    in_input: bool = False
    ahead: bool = False
    typical_ns: int | None = None
    wait_ns: int = 0
    typical_wait_ns: int | None = None
    short_calls: int = 0
    program: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramOp:
    """One instruction of the entry computation.

    Attributes:
        name: unique in the program.
        opcode: `fusion`, `convolution`, ...
        op_names: TensorFlow ops that it computes, by the HLO's metadata; empty where nothing says.
        inputs: position of the instruction that made a buffer, and which of its buffers.
        buffer_bytes: of each buffer that it makes; 0 for one that is not temporary.
    """

    name: str
    opcode: str
    op_names: tuple[str, ...]
    inputs: tuple[tuple[int, int], ...]
    buffer_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramMemory:
    """What a program needs beside its parameters and results.

    Attributes:
        ops: in the order in which they run.
        temporary_bytes: size of the block of its temporary buffers.
        program: XLA's name of it, as in `TraceOp`.
    """

    ops: tuple[ProgramOp, ...]
    temporary_bytes: int
    program: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAllocation:
    """What steps had at their peak beyond what was allocated before, by the allocator's events.

    Attributes:
        requested_bytes: as their tensors asked for.
        allocated_bytes: as the allocator gave them.
        allocator: its name.
    """

    requested_bytes: int
    allocated_bytes: int
    allocator: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpAllocation:
    """What one op typically allocates in a step.

    Attributes:
        op_name: as profiled.
        tensor_bytes: of each tensor that it makes, in the order of their allocation; on a CPU the
            large ones alone.
        temporary_bytes: what it works in at most, and gives back when it ends.
    """

    op_name: str
    tensor_bytes: tuple[int, ...]
    temporary_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One profile, aggregated.

    Attributes:
        ops: every op; the sum of `self_ns` is `total_ns` exactly.
        steps: traced training steps; at least 1.
        total_ns: sum of op self times over all steps and devices.
        busy_ns: union of the ops' intervals, summed over devices, all steps; without those that the
            input pipeline runs ahead.
        between_ns: idle time that belongs to no op, summed over devices: before the first op of a
            step, and after the last op of the last one. The ops' `wait_ns`, `between_ns` and
            `busy_ns` add up to `device_ns` exactly.
        device_ns: from the start of the first traced step to the end of the last one, times the
            devices that ran an op.
        eager: True when op names carry no layer scope because the step ran eagerly.
        warnings: holes that were met, in words (an empty device plane, for instance).
        program: the memory of the XLA program in which the step spent most of its time; None
            outside XLA, and where the trace does not carry it.
        allocation: what its steps allocated; None where the trace has no such events.
        allocations: what each op allocates in a step, by the same allocator.
    """

    ops: tuple[TraceOp, ...]
    steps: int
    total_ns: int
    busy_ns: int
    between_ns: int
    device_ns: int
    eager: bool
    warnings: tuple[str, ...]
    program: ProgramMemory | None = None
    allocation: StepAllocation | None = None
    allocations: tuple[OpAllocation, ...] = ()

    @property
    def wait_ns(self) -> int:
        """Idle time of the devices within steps, which ops waited; over all steps."""
        return sum(op.wait_ns for op in self.ops)


def in_training_steps(trace: Trace, steps_per_mark: int) -> Trace:
    """A trace of which each marked step held so many training steps, counted in training steps."""
    if steps_per_mark == 1:
        return trace
    return replace(
        trace,
        steps=trace.steps * steps_per_mark,
        ops=tuple(
            replace(
                op,
                typical_ns=_per_training_step(op.typical_ns, steps_per_mark),
                typical_wait_ns=_per_training_step(op.typical_wait_ns, steps_per_mark),
            )
            for op in trace.ops
        ),
    )


def _per_training_step(marked_ns: int | None, steps_per_mark: int) -> int | None:
    return None if marked_ns is None else round(marked_ns / steps_per_mark)
