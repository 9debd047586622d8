"""Which layer a backward op belongs to: the one that created the forward op it differentiates.

In: the names of forward ops with their layers, and the backward ops with what they read. Out: a
layer per backward op, or None. TensorFlow names the ops of a gradient after the scope of the op
that they differentiate: `gradient_tape/<scope>/...`, and inside of functions and loops
`gradients/<op>_grad/...`. Such a name counts only if it leads back to a forward op or scope
that was seen while tracing. A sum of gradients has no such name. Where all summands come from one
layer, the sum is that layer's: a normalisation that trains uses its input three times, and one that
is frozen once, so that only the former has a sum. A sum over several layers (where a residual
branch joins), and any other op without such a name, takes the layer of the op that reads it;
failing that, the layer of the op that it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

_TAPE = "gradient_tape/"
_BODY = "/gradients/"
_GRAD = "_grad"


class Unknown:
    """No layer was found; None, in contrast, means that the op is known to belong to no layer."""


UNKNOWN = Unknown()
Credit = str | None | Unknown


class ForwardNames:
    """Layers by the names and scopes of the forward ops that they created."""

    def __init__(self) -> None:
        self._by_name: dict[str, Credit] = {}
        self._by_scope: dict[str, Credit] = {}
        self._layers: set[str | None] = set()

    def add(self, name: str, layer: str | None) -> None:
        """Note a forward op by its name in the function that holds it."""
        _note(self._by_name, name, layer)
        _note(self._by_scope, name.rpartition("/")[0], layer)
        self._layers.add(layer)

    @property
    def only_layer(self) -> Credit:
        """The layer of all of them; `UNKNOWN` where they are of several, or of none."""
        layers = list(self._layers)
        return layers[0] if len(layers) == 1 and layers[0] is not None else UNKNOWN

    def layer_of_gradient(self, name: str) -> Credit:
        """The layer whose op a backward op differentiates, told from its name.

        The longest part of the name that is a forward op or scope decides; where two layers share
        that part, no layer is told.
        """
        for scope in _differentiated(name):
            parts = scope.split("/")
            for length in range(len(parts), 0, -1):
                prefix = "/".join(parts[:length])
                for candidate in (prefix, prefix.removesuffix(_GRAD)):
                    for known in (self._by_name, self._by_scope):
                        if candidate in known:
                            return known[candidate]
        return UNKNOWN


def _note(known: dict[str, Credit], key: str, layer: str | None) -> None:
    known[key] = layer if known.get(key, layer) == layer else UNKNOWN


def _differentiated(name: str) -> Iterator[str]:
    """What a backward op's name says was differentiated, innermost function first."""
    name = f"/{name}"
    while _BODY in name:
        name, _, within = name.rpartition(_BODY)
        yield within
    if _TAPE in name:
        yield name.rpartition(_TAPE)[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackwardOps:
    """The backward ops and which of them read which, by position in a list of ops.

    Attributes:
        named: layer told from the name, `UNKNOWN` where the name tells none; the keys are all
            backward ops, sources before their readers.
        readers: backward ops that read an op.
        reads: backward ops that an op reads.
        owner: the single layer whose variables alone need the op, or None.
        sums: the ops that add gradients up.
    """

    named: Mapping[int, Credit]
    readers: Callable[[int], Sequence[int]]
    reads: Callable[[int], Sequence[int]]
    owner: Callable[[int], str | None]
    sums: Collection[int] = ()


def credit_backward(ops: BackwardOps) -> dict[int, str | None]:
    """A layer, or None, for every backward op.

    Ops whose name tells a layer keep that layer. A sum takes the layer that all its summands have.
    The others take the layer of the first reader that has one. A gradient that nothing in the
    backward pass reads belongs to the layer whose variables it is for. Every remaining op takes the
    layer of the first op that it reads.
    """
    credits: dict[int, Credit] = dict(ops.named)
    for op in ops.sums:
        summands = {ops.named.get(read, UNKNOWN) for read in ops.reads(op)}
        if len(summands) == 1 and isinstance(layer := summands.pop(), str):
            credits[op] = layer
    nameless = [op for op, credit in credits.items() if credit is UNKNOWN]
    for op in reversed(nameless):
        readers = ops.readers(op)
        credits[op] = _first(credits, readers) if readers else ops.owner(op) or UNKNOWN
    for op in nameless:
        if credits[op] is UNKNOWN:
            credits[op] = _first(credits, ops.reads(op))
    return {op: None if isinstance(credit, Unknown) else credit for op, credit in credits.items()}


def _first(credits: Mapping[int, Credit], candidates: Sequence[int]) -> Credit:
    for candidate in candidates:
        credit = credits.get(candidate, UNKNOWN)
        if not isinstance(credit, Unknown):
            return credit
    return UNKNOWN
