"""The traced training step as plain values: every op with its pass, layer and who needs it.

Written in the measuring process right after tracing (`frostline.measure`) and kept in `graph_ops`.
Attribution and prediction need nothing else, so both can be repeated without TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

Pass = Literal["forward", "activation_gradient", "weight_gradient", "optimizer", "input", "other"]
PASSES: tuple[Pass, ...] = (
    "forward", "activation_gradient", "weight_gradient", "optimizer", "input", "other",
)  # fmt: skip
BackwardPass = Literal["activation_gradient", "weight_gradient"]
BACKWARD: tuple[BackwardPass, ...] = ("activation_gradient", "weight_gradient")
"""The backward pass is both of these."""

_RANDOM_OPS = (
    "Random", "StatelessRandom", "StatelessTruncated", "TruncatedNormal", "ParameterizedTruncated",
    "Multinomial", "StatelessMultinomial", "StatelessParameterized", "StatefulUniform",
    "StatefulStandardNormal", "StatefulTruncatedNormal",
)  # fmt: skip


_INPUT_OPS = ("Iterator", "MultiDeviceIterator", "OptionalGetValue", "OptionalHasValue")


def is_input(op_type: str) -> bool:
    """Whether an op draws from an iterator of the input pipeline, by its TensorFlow type."""
    return op_type.startswith(_INPUT_OPS)


def is_random(op_type: str) -> bool:
    """Whether an op draws random numbers, by its TensorFlow type."""
    return op_type.startswith(_RANDOM_OPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphOp:
    """One op of the traced training function.

    Attributes:
        op_name: unique name; ops of functions called inside carry the caller's name and `/`
            before their own, and `#1`, `#2`, ... behind it where two branches hold equal names.
        op_type: TensorFlow op type (`Conv2DBackpropFilter`).
        layer: ownership path of the Keras layer that created it, or whose op it differentiates
            (weightless layers included: `vgg16/block1_pool`), or whose variables alone it updates;
            None where there is no such layer.
        pass_: the pass it belongs to. A backward op that serves the variables of its own layer
            alone is `weight_gradient`; one that serves any other layer, or both, and every one of
            a layer without variables is `activation_gradient` (`walk.backward_pass`). Ops that
            nothing depends on, which TensorFlow prunes before running, are `other`.
            Whom an op serves that another one repeats, both serve.
        needed_by: indices into `StepGraph.variables` of the variables whose gradient needs this
            op; empty for forward, optimizer, input and other ops.
        forward_flops: FLOPs of a forward op where TensorFlow registers a count, else None.
        inputs: the tensors that it reads, each as the position of the op that made it in
            `StepGraph.ops` and which output of that op it is; None where that was not recorded.
        output_bytes: bytes of each of its outputs, None where one is not known; empty for an op
            that only calls functions. None where that was not recorded.
        temporary_bytes: what it works in while it runs; None where no profile says so.
        repeats: position in `StepGraph.ops` of the first op that computes the same from the same;
            None where no earlier one does. TensorFlow and XLA run one of them.
        calls: name of the function that it calls; None where it is no call, or that was not
            recorded.
    """

    op_name: str
    op_type: str
    layer: str | None
    pass_: Pass
    needed_by: tuple[int, ...] = ()
    forward_flops: int | None = None
    inputs: tuple[tuple[int, int], ...] | None = None
    output_bytes: tuple[int | None, ...] | None = None
    temporary_bytes: int | None = None
    repeats: int | None = None
    calls: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepGraph:
    """All ops of one traced training step.

    Attributes:
        variables: paths of the variables trainable in the baseline, in ownership order.
        trained: paths of the variables whose gradient the tape returned in this step.
        ops: in creation order.
    """

    variables: tuple[str, ...]
    trained: tuple[str, ...]
    ops: tuple[GraphOp, ...]

    @property
    def has_tensors(self) -> bool:
        """Whether it is recorded what its ops read and make."""
        return bool(self.ops) and all(
            op.inputs is not None and op.output_bytes is not None for op in self.ops
        )

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_bytes(_ADAPTER.dump_json(self))

    @staticmethod
    def load(path: Path) -> StepGraph:
        """Read what `save` wrote."""
        return _ADAPTER.validate_json(path.read_bytes())


_ADAPTER: TypeAdapter[StepGraph] = TypeAdapter(StepGraph)
