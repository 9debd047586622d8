"""Where the values of a layer's variables meet the data: the places at which the layer computes.

In: the data flow of a forward pass with, per vertex, the path of the layer that created it. Out:
for each layer that owns variables, the vertices at which their values first meet something that
depends on the model's inputs. A value derived from parameters and constants alone (a read, a cast,
a transpose, a table of positions) is *pure*. Where a layer reads its own variables, its use ends
with it: adding a table of positions to something is no use of the layer that made the table. Where
a variable is read outside of its layer's calls (tied weights, a wrapper that maps its layer over
time, a regulariser), the value is followed wherever it goes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from frostline.attribute.walk import Sources, downstream, readers_of

ALIAS = "\0alias"
"""Creator of vertices that stand for no op (arguments, loop variables)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterFlow:
    """A forward pass seen from its parameters.

    Attributes:
        sources: the flow.
        creators: per vertex, the path of the creating layer; None outside of all, `ALIAS` for a
            vertex that stands for no op.
        data: vertices at which data enters.
        ignored: vertices that are no use (updates of variables).
    """

    sources: Sources
    creators: Sequence[str | None]
    data: Collection[int]
    ignored: Collection[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerUse:
    """What becomes of one layer's variables.

    Attributes:
        inside: vertices of the layer's own calls at which its variables meet data.
        outside: vertices elsewhere at which variables read outside of its calls meet data.
        pure_inside: vertices of its own calls that depend on parameters and constants alone.
        pure_outside: vertices elsewhere that depend on parameters and constants alone, for
            variables read outside of its calls.
    """

    inside: frozenset[int]
    outside: frozenset[int]
    pure_inside: frozenset[int]
    pure_outside: frozenset[int]

    @property
    def meets(self) -> frozenset[int]:
        """Every vertex at which the layer's variables meet data."""
        return self.inside | self.outside


def uses(flow: ParameterFlow, handles: Mapping[str, Collection[int]]) -> dict[str, LayerUse]:
    """Follow the vertices that stand for the variables of each layer until they meet data."""
    readers = readers_of(flow.sources)
    impure = downstream(flow.sources, flow.data)
    return {
        layer: _follow(flow, readers, impure, layer, starts) for layer, starts in handles.items()
    }


def adopted(
    found: Mapping[str, LayerUse], creators: Sequence[str | None], model: str
) -> dict[int, str]:
    """Vertices outside of a layer's calls that are part of its computation; the layer by vertex.

    These are ops that handle the variables of one single layer, created by a container of that
    layer (a wrapper mapping it over time, a model using an embedding's matrix as its output head),
    and pure ops created outside of all layers (a regulariser). `found` comes from `uses`,
    `creators` is as in `ParameterFlow`, and `model` is the path that stands for the model itself.
    """
    handlers: dict[int, set[str]] = {}
    pure: set[int] = set()
    for layer, use in found.items():
        pure |= use.pure_outside
        for vertex in use.outside | use.pure_outside:
            handlers.setdefault(vertex, set()).add(layer)
    chosen = {}
    for vertex, layers in handlers.items():
        creator = creators[vertex]
        if len(layers) > 1 or creator == ALIAS:
            continue
        layer = next(iter(layers))
        contained = creator is not None and (creator == model or layer.startswith(f"{creator}/"))
        if contained or (creator is None and vertex in pure):
            chosen[vertex] = layer
    return chosen


def _follow(
    flow: ParameterFlow,
    readers: Sequence[tuple[int, ...]],
    impure: Collection[int],
    layer: str,
    starts: Collection[int],
) -> LayerUse:
    meets: dict[bool, set[int]] = {True: set(), False: set()}
    pure: dict[bool, set[int]] = {True: set(), False: set()}
    waiting: list[tuple[int, bool | None]] = [(start, None) for start in starts]
    seen = set(waiting)
    while waiting:
        vertex, inside = waiting.pop()
        for reader in readers[vertex]:
            creator = flow.creators[reader]
            if reader in flow.ignored:
                continue
            if creator == ALIAS:
                step = (reader, inside)
                passes_on = True
            else:
                own = creator == layer
                reads_inside = own if inside is None else inside
                if reads_inside and not own:
                    continue
                step = (reader, reads_inside)
                passes_on = reader not in impure
                (pure if passes_on else meets)[reads_inside].add(reader)
            if passes_on and step not in seen:
                seen.add(step)
                waiting.append(step)
    return LayerUse(
        inside=frozenset(meets[True]),
        outside=frozenset(meets[False]),
        pure_inside=frozenset(pure[True]),
        pure_outside=frozenset(pure[False]),
    )
