"""The rules that say where a profiled op belongs, in the order in which they are asked.

A rule is a function from a `Piece` (a profiled op, or its share in an XLA instruction) and the
trace's `Context` to a `Match`, or to None when it does not apply. Names given by rules:

| rule | what it says |
|---|---|
| `copy:h2d` | a copy from host to device: input |
| `input` | `tf.data` and its iterators: input |
| `input:ahead` | `tf.data` on threads that work ahead of the step: input, and no part of its time |
| `eager` | the step ran eagerly, names carry no layer: other |
| `call`, `call:...` | a function that XLA compiled by itself: its op of that name, or the rest |
| `exact`, `inlined` | the graph's op of that name, without prefixes of inlined functions |
| `grappler:...` | the graph's op that grappler renamed or copied (`frostline.attribute.names`) |
| `grappler:fused` | the convolution or product inside an op named after the last op fused into it |
| `scope` | a new op in a scope whose ops all have one layer and pass |
| `name:...` | without a graph only: by name, as far as names decide |
| `dispatch` | what the executor did on the host where no op left an event |
| `nameless` | a kernel, copy or instruction that names no op: other |
| `unmatched` | nothing fits: other |

The rule of a share in an XLA instruction is prefixed with `hlo:`. An op that grappler fused from
several gets one label: a forward op that of the contraction inside, a gradient op that of the op
whose name it kept (`Conv2DBackpropFilterWithBias` computes the bias's gradient too; both are dW).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from frostline.attribute.index import GraphIndex, Match
from frostline.attribute.name_rules import by_name
from frostline.attribute.names import canonical
from frostline.attribute.step_graph import is_input
from frostline.trace.ops import EXECUTOR_TYPE

_INPUT_TYPES = frozenset({"Dataset", "DeleteIterator"})
_PYTHON_TYPES = frozenset({"PyFunc", "EagerPyFunc"})
_HOST_TO_DEVICE = frozenset({"MemcpyH2D", "MemcpyHtoD"})

AHEAD = "input:ahead"
"""The rule of what the input pipeline does on threads of its own while the step runs."""

DISPATCH = "dispatch"
"""The rule of what the executor dispatched without leaving an event: of its marks here, and of the
rows that `frostline.attribute.dispatch` adds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A profiled op, or its share in an XLA instruction; fields as in `TraceOp`.

    Attributes:
        call: the call of the function that XLA compiled by itself and that it is part of, by its
            name in the graph; None for all else.
    """

    op_name: str
    op_type: str
    in_input: bool
    ahead: bool = False
    call: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What rules know beside the piece.

    Attributes:
        index: the graph, if there is one.
        eager: whether the step was eager.
        named: by call, the ops of its function that any instruction of its program names.
    """

    index: GraphIndex | None
    eager: bool
    named: Mapping[str, Collection[str]] = field(default_factory=dict)


Rule = Callable[[Piece, Context], Match | None]


def copy_to_device(piece: Piece, _: Context) -> Match | None:
    """Copies from host to device bring the batch."""
    return Match(None, "input", "copy:h2d") if piece.op_type in _HOST_TO_DEVICE else None


def input_pipeline(piece: Piece, context: Context) -> Match | None:
    """Whatever `tf.data` runs, and what draws from its iterators.

    Calls of Python are a generator's, unless they are in the graph of the step.
    """
    applies = (
        piece.in_input
        or piece.op_type in _INPUT_TYPES
        or (piece.op_type in _PYTHON_TYPES and in_graph(piece, context) is None)
        or is_input(piece.op_type)
        or piece.op_name.startswith("Iterator::")
    )
    return Match(None, "input", AHEAD if piece.ahead else "input") if applies else None


def eager_op(_: Piece, context: Context) -> Match | None:
    """Eager ops say neither layer nor pass."""
    return Match(None, "other", "eager") if context.eager else None


def executor(piece: Piece, _: Context) -> Match | None:
    """The marks of the executor: what it dispatched after the last event of a step."""
    return Match(None, "other", DISPATCH) if piece.op_type == EXECUTOR_TYPE else None


def in_call(piece: Piece, context: Context) -> Match | None:
    """An instruction of a function that XLA compiled by itself."""
    if context.index is None or piece.call is None:
        return None
    return context.index.in_call(piece.call, piece.op_name, context.named.get(piece.call, ()))


def no_op_known(piece: Piece, _: Context) -> Match | None:
    """Kernels, copies and instructions that name no op."""
    return Match(None, "other", "nameless") if not piece.op_name else None


def in_graph(piece: Piece, context: Context) -> Match | None:
    """The graph's op of this name, rewriting taken back."""
    if context.index is None:
        return None
    op, rule = context.index.find(piece.op_name)
    if op is None:
        return None
    inside = context.index.contraction_inside(op, piece.op_type)
    if inside is not None:
        return Match(inside.layer, inside.pass_, "grappler:fused", inside.op_name)
    return Match(op.layer, op.pass_, rule, op.op_name)


def in_scope(piece: Piece, context: Context) -> Match | None:
    """An op that is not in the graph, in a scope whose ops in the graph all agree."""
    return context.index.scope(piece.op_name) if context.index else None


def name_only(piece: Piece, context: Context) -> Match | None:
    """Without a graph, what names say."""
    return by_name(canonical(piece.op_name), piece.op_type) if context.index is None else None


RULES: tuple[Rule, ...] = (
    copy_to_device,
    input_pipeline,
    executor,
    eager_op,
    in_call,
    no_op_known,
    in_graph,
    in_scope,
    name_only,
)


def place(piece: Piece, context: Context) -> Match:
    """The first rule's answer; `unmatched` where none has one."""
    for rule in RULES:
        match = rule(piece, context)
        if match is not None:
            return match
    return Match(None, "other", "unmatched")
