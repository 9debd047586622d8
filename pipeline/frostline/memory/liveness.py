"""What is alive while a step runs: a walk over its ops in the order in which they run.

In: ops with the tensors that they read and make, and which of them run. Out: `Peak`: the most bytes
that are alive at one time, and the tensors that hold them. A tensor lives from the op that makes it
to the last op that reads it. An op may make none of its own:

- what only gives a tensor another name or shape shares it (`SHARES`), and so does reading a
  variable, whose bytes are the model's;
- an elementwise op writes over an input of the same size that nobody else will read
  (`OVERWRITES`; `OpKernelContext::forward_input_or_allocate_output` in TensorFlow's kernels).

An op that asks for a tensor's shape alone (`OF_SHAPES`) does not keep it alive: where shapes are
known, TensorFlow folds the answer into a constant.

What an op works in (`temporary_bytes`) is alive only while it runs.

Bytes that are not known count as 0 and are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

SHARES = frozenset(
    {
        "Bitcast", "CheckNumerics", "EnsureShape", "ExpandDims", "Identity", "IdentityN",
        "PlaceholderWithDefault", "PreventGradient", "Reshape", "Snapshot", "Squeeze",
        "StopGradient", "TensorListFromTensor", "TensorListGetItem", "TensorListPopBack",
        "bitcast", "get-tuple-element", "reshape", "tuple",
    }
)  # fmt: skip
NO_BYTES = frozenset({"Const", "HostConst", "ReadVariableOp", "VarHandleOp"})
OVERWRITES = frozenset(
    {
        "Abs", "Add", "AddN", "AddV2", "BiasAdd", "ClipByValue", "Div", "DivNoNan", "Elu",
        "EluGrad", "Erf", "Exp", "Expm1", "FloorDiv", "FusedBatchNormV3", "InvGrad", "LeakyRelu",
        "LeakyReluGrad", "Log", "Log1p", "LogSoftmax", "Maximum", "Minimum", "Mul", "MulNoNan",
        "Neg", "Pow", "RealDiv", "Reciprocal", "ReciprocalGrad", "Relu", "Relu6", "Relu6Grad",
        "ReluGrad", "Rsqrt", "RsqrtGrad", "Selu", "SeluGrad", "Sigmoid", "SigmoidGrad", "Sign",
        "Softmax", "Softplus", "SoftplusGrad", "Sqrt", "SqrtGrad", "Square", "SquaredDifference",
        "Sub", "Tanh", "TanhGrad", "Xdivy", "Xlogy", "ZerosLike",
    }
)  # fmt: skip
OF_SHAPES = frozenset({"Rank", "Shape", "ShapeN", "Size"})


TEMPORARY = -1
"""Stands for what an op works in, where outputs are numbered."""


class MemoryOp(Protocol):
    """An op as this module needs it: its type, what it reads and how large what it makes is."""

    @property
    def op_type(self) -> str:
        """TensorFlow op type, or HLO opcode."""

    @property
    def inputs(self) -> tuple[tuple[int, int], ...] | None:
        """Position and output of the ops that made what it reads."""

    @property
    def output_bytes(self) -> tuple[int | None, ...] | None:
        """Bytes of each output."""

    @property
    def temporary_bytes(self) -> int | None:
        """Bytes that it works in while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTensor:
    """A tensor that is alive at the peak.

    Attributes:
        op: position of the op that made it.
        output: which of its outputs; `TEMPORARY` for what the op works in.
        n_bytes: its size in bytes.
    """

    op: int
    output: int
    n_bytes: int


Moment: TypeAlias = tuple[int, int]
"""Position of an op, and the bytes that are alive while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The moment at which the most is alive.

    Attributes:
        n_bytes: alive then, in bytes; the sum over `tensors`.
        op: position of the op that runs then; None where nothing runs.
        tensors: what is alive, largest first.
        unknown: tensors of the whole step whose bytes are not known.
    """

    n_bytes: int
    op: int | None
    tensors: tuple[LiveTensor, ...]
    unknown: int


_STILL_THERE = 2**62


@dataclass(slots=True)
class _Buffer:
    tensor: LiveTensor
    reads_left: int
    made: int
    gone: int = _STILL_THERE


def renamed(op: MemoryOp, output: int) -> tuple[int, int] | None:
    """The tensor that an output is another name of; None where it is none.

    That is the input of the same number where an op passes each input on, else the first one.
    """
    inputs = op.inputs or ()
    if op.op_type not in SHARES or not inputs:
        return None
    return inputs[output if len(inputs) == len(op.output_bytes or ()) else 0]


def moments(
    ops: Sequence[MemoryOp], runs: Sequence[bool], order: Iterable[int] | None = None
) -> list[Moment]:
    """What is alive while each op runs, in the order in which they run; arguments as for `peak`."""
    return _walked(ops, runs, order)[1]


def peak(ops: Sequence[MemoryOp], runs: Sequence[bool], order: Iterable[int] | None = None) -> Peak:
    """The peak of a step.

    Args:
        ops: of the step.
        runs: per op, whether it runs.
        order: positions of the ops in the order in which they run; None: that of `ops`.
    """
    walk, found = _walked(ops, runs, order)
    if not found:
        return Peak(n_bytes=0, op=None, tensors=(), unknown=0)
    place = max(range(len(found)), key=lambda number: found[number][1])
    op, most = found[place]
    tensors = sorted(walk.alive_at(place), key=lambda one: (-one.n_bytes, one.op, one.output))
    return Peak(n_bytes=most, op=op, tensors=tuple(tensors), unknown=walk.unknown)


def _walked(
    ops: Sequence[MemoryOp], runs: Sequence[bool], order: Iterable[int] | None
) -> tuple[_Walk, list[Moment]]:
    sequence = [each for each in (range(len(ops)) if order is None else order) if runs[each]]
    walk = _Walk(ops, sequence)
    found = []
    for op in sequence:
        walk.start(op)
        found.append((op, walk.alive))
        walk.end(op)
    return walk, found


class _Walk:
    """Buffers while the ops of a sequence run one after the other."""

    def __init__(self, ops: Sequence[MemoryOp], sequence: Sequence[int]) -> None:
        self._ops = ops
        self._now = -1
        self._inputs: dict[int, list[tuple[int, int]]] = {}
        self._readers: dict[tuple[int, int], int] = {}
        before: set[int] = set()
        for op in sequence:
            # What a loop carries into its next round is read by an op that ran before: no read.
            read = () if ops[op].op_type in OF_SHAPES else ops[op].inputs or ()
            inputs = self._inputs[op] = [source for source in read if source[0] in before]
            for source in inputs:
                self._readers[source] = self._readers.get(source, 0) + 1
            before.add(op)
        self._buffer_of: dict[tuple[int, int], _Buffer] = {}
        self._made: list[_Buffer] = []
        self._fresh: list[_Buffer] = []
        self.alive = 0
        self.unknown = 0

    def alive_at(self, place: int) -> list[LiveTensor]:
        """What was alive while the op at this place of the sequence ran; not what has no bytes."""
        return [
            each.tensor
            for each in self._made
            if each.tensor.n_bytes and each.made <= place <= each.gone
        ]

    def start(self, op: int) -> None:
        """Make the outputs of an op; its inputs are alive still."""
        self._now += 1
        kind = self._ops[op].op_type
        inputs = self._inputs[op]
        self._fresh = []
        for output, n_bytes in enumerate(self._ops[op].output_bytes or ()):
            tensor = (op, output)
            readers = self._readers.get(tensor, 0)
            shared = self._shared(op, output)
            shared = shared or self._overwritten(kind, output, n_bytes, inputs)
            if shared is None:
                is_none = kind in NO_BYTES or self._is_name_of_nothing(op, output)
                self._make(tensor, 0 if is_none else n_bytes, readers)
                continue
            shared.reads_left += readers
            self._buffer_of[tensor] = shared
        if temporary := self._ops[op].temporary_bytes:
            self._make((op, TEMPORARY), temporary, 0)

    def end(self, op: int) -> None:
        """Let go of what nobody reads any more."""
        touched = [self._buffer_of[source] for source in self._inputs[op]]
        for buffer in touched:
            buffer.reads_left -= 1
        for buffer in (*touched, *self._fresh):
            if buffer.reads_left <= 0 and buffer.gone == _STILL_THERE:
                buffer.gone = self._now
                self.alive -= buffer.tensor.n_bytes

    def _make(self, tensor: tuple[int, int], n_bytes: int | None, readers: int) -> None:
        if n_bytes is None:
            self.unknown += 1
        made = LiveTensor(op=tensor[0], output=tensor[1], n_bytes=n_bytes or 0)
        buffer = _Buffer(tensor=made, reads_left=readers, made=self._now)
        self._buffer_of[tensor] = buffer
        self._made.append(buffer)
        self._fresh.append(buffer)
        self.alive += made.n_bytes

    def _shared(self, op: int, output: int) -> _Buffer | None:
        source = renamed(self._ops[op], output)
        return None if source not in self._inputs[op] else self._buffer_of.get(source)

    def _is_name_of_nothing(self, op: int, output: int) -> bool:
        """Whether an output is another name of a tensor that is not made in this step.

        So it is with the gradients that an `IdentityN` of all gradients passes on, of which some
        are not computed.
        """
        source = renamed(self._ops[op], output)
        return source is not None and source[0] not in self._inputs

    def _overwritten(
        self, kind: str, output: int, n_bytes: int | None, inputs: Sequence[tuple[int, int]]
    ) -> _Buffer | None:
        if kind not in OVERWRITES or output != 0 or not n_bytes:
            return None
        for source in inputs:
            buffer = self._buffer_of[source]
            if buffer.reads_left == 1 and buffer.tensor.n_bytes == n_bytes:
                return buffer
        return None
