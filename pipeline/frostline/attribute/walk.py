"""Walks over the data flow of a training step: what is forward, and which variables need an op.

In: the step's data flow as plain integers. A vertex is a value, or an op without outputs; it lists
the vertices whose values it reads (`sources`). Loops are cycles. Sets of variables are Python
integers used as bit masks. Out: per vertex, the pass group and the set of variables that need it.
Control edges are no data flow and take no part: they tie everything to everything.

The order of the walk decides (docs/method.md, Attribution). Ops that reach the loss are forward and
are taken out first, then the ops that lead to a result (output, metric, updated state) without
passing through a gradient. Of the others, those upstream of a gradient are backward; then those
upstream of an update, or between a gradient and anything else that the step is run for, are the
optimizer's. The rest does nothing (TensorFlow prunes it) or only keeps order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import reduce
from operator import or_

from frostline.attribute.step_graph import Pass

Sources = Sequence[tuple[int, ...]]


class OpGroup(Enum):
    """Where a vertex belongs, before backward is split into dX and dW."""

    FORWARD = "forward"
    BACKWARD = "backward"
    OPTIMIZER = "optimizer"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFlow:
    """The data flow of a step and its landmarks.

    Attributes:
        sources: per vertex, the vertices that it reads.
        losses: what the gradient tape differentiated.
        gradients: per variable (its bit's position), the vertices of its gradient. Positions that
            stand for no variable of the model are allowed.
        results: outputs of the step and updates of states that are not the optimizer's.
        updates: updates of trained variables and of the optimizer's own, and branches and loops
            that write nothing else.
        effects: other ops that are run for their effect and not for their value (branches that
            write other things as well).
    """

    sources: Sources
    losses: frozenset[int]
    gradients: Mapping[int, frozenset[int]]
    results: frozenset[int]
    updates: frozenset[int]
    effects: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """What the walk found, per vertex.

    Attributes:
        groups: the pass group.
        needed_by: mask of the variables whose gradient needs the vertex; 0 outside of backward.
    """

    groups: list[OpGroup]
    needed_by: list[int]


def walk(flow: StepFlow) -> Walked:
    """Sort every vertex into its group, and find out who needs the backward ones.

    Freezing a set of variables leaves exactly the forward vertices and those of which `needed_by`
    holds a variable that still trains.
    """
    sources = flow.sources
    order = topological(sources)
    tips = frozenset().union(*flow.gradients.values())
    forward = upstream(sources, flow.losses)
    after = downstream(sources, tips - forward)
    forward |= upstream(sources, flow.results, stop=after)
    needed_by = spread_up(sources, order, seeds_of(flow.gradients), stop=forward)
    backward = {vertex for vertex, mask in enumerate(needed_by) if mask}
    before = forward | backward
    optimizer = upstream(sources, flow.updates, stop=before)
    optimizer |= after & upstream(sources, flow.effects | flow.results, stop=before)
    groups = [OpGroup.OTHER] * len(sources)
    for group, vertices in (
        (OpGroup.OPTIMIZER, optimizer),
        (OpGroup.BACKWARD, backward),
        (OpGroup.FORWARD, forward),
    ):
        for vertex in vertices:
            groups[vertex] = group
    return Walked(groups=groups, needed_by=needed_by)


def backward_pass(needed_by: int, own: int) -> Pass:
    """Which of the two backward passes an op belongs to.

    A weight gradient (dW) serves variables of its own layer and of no other; everything else in
    the backward pass carries a gradient on towards other layers (dX). So an op that serves both is
    dX, and so is every op of a layer without variables. The first layer has no dX of its own: what
    differentiates its activation serves itself alone. A gradient on its way from one call of a
    shared layer to an earlier call of the same layer, or through time in a recurrent layer without
    anything trainable before it, serves that layer alone: dW. Between the two uses of tied weights
    it serves the layers in between as well: dX.

    Args:
        needed_by: variables whose gradient needs the op.
        own: variables of the layer whose op it differentiates; 0 where that is no layer.
    """
    return "activation_gradient" if needed_by & ~own else "weight_gradient"


def union(masks: Iterable[int]) -> int:
    """A mask of every bit that is set in one of these."""
    return reduce(or_, masks, 0)


def firsts_of(repeats: Iterable[int | None]) -> list[int]:
    """Per op, the first that computes the same; `repeats` holds None for that one itself."""
    return [number if first is None else first for number, first in enumerate(repeats)]


def with_repeats(masks: Sequence[int], repeats: Iterable[int | None]) -> list[int]:
    """Per op, the union of its mask and those of all ops that compute the same."""
    firsts = firsts_of(repeats)
    together = [0] * len(masks)
    for first, mask in zip(firsts, masks, strict=True):
        together[first] |= mask
    return [together[first] for first in firsts]


def members(mask: int) -> tuple[int, ...]:
    """Positions of the bits set in a mask, ascending."""
    found = []
    while mask:
        lowest = mask & -mask
        found.append(lowest.bit_length() - 1)
        mask ^= lowest
    return tuple(found)


def topological(sources: Sources) -> list[int]:
    """Vertices with sources before their readers, except for the edges that close a loop."""
    order: list[int] = []
    entered = bytearray(len(sources))
    for root in range(len(sources)):
        if entered[root]:
            continue
        entered[root] = 1
        path = [(root, iter(sources[root]))]
        while path:
            vertex, rest = path[-1]
            for source in rest:
                if not entered[source]:
                    entered[source] = 1
                    path.append((source, iter(sources[source])))
                    break
            else:
                order.append(vertex)
                path.pop()
    return order


def upstream(
    sources: Sources, starts: Iterable[int], stop: Collection[int] = frozenset()
) -> set[int]:
    """The starts and everything that they read, directly or not; stops are left out."""
    found: set[int] = set()
    waiting = [vertex for vertex in starts if vertex not in stop]
    while waiting:
        vertex = waiting.pop()
        if vertex in found:
            continue
        found.add(vertex)
        waiting.extend(
            source for source in sources[vertex] if source not in found and source not in stop
        )
    return found


def downstream(sources: Sources, starts: Iterable[int]) -> set[int]:
    """The starts and everything that reads them, directly or not."""
    readers = readers_of(sources)
    return upstream(readers, starts)


def readers_of(sources: Sources) -> list[tuple[int, ...]]:
    """Per vertex, the vertices that read it."""
    readers: list[list[int]] = [[] for _ in sources]
    for vertex, read in enumerate(sources):
        for source in read:
            readers[source].append(vertex)
    return [tuple(found) for found in readers]


def seeds_of(groups: Mapping[int, Iterable[int]]) -> dict[int, int]:
    """Masks by vertex, for `spread_up` and `spread_down`, from the vertices of each bit."""
    seeds: dict[int, int] = {}
    for bit, vertices in groups.items():
        for vertex in vertices:
            seeds[vertex] = seeds.get(vertex, 0) | 1 << bit
    return seeds


def spread_up(
    sources: Sources,
    order: Sequence[int],
    seeds: Mapping[int, int],
    stop: Collection[int] = frozenset(),
) -> list[int]:
    """Masks per vertex, carried against the flow: the union of its own seed and its readers'.

    `order` is `topological(sources)`; the vertices in `stop` take no mask and pass none on.
    """
    masks = [0] * len(sources)
    for vertex, mask in seeds.items():
        if vertex not in stop:
            masks[vertex] |= mask
    changed = True
    while changed:  # one sweep settles all but loops; each level of nesting takes one more
        changed = False
        done = bytearray(len(sources))
        for vertex in reversed(order):
            done[vertex] = 1
            mask = masks[vertex]
            if not mask:
                continue
            for source in sources[vertex]:
                if masks[source] | mask != masks[source] and source not in stop:
                    masks[source] |= mask
                    changed = changed or bool(done[source])
    return masks


def spread_down(sources: Sources, order: Sequence[int], seeds: Mapping[int, int]) -> list[int]:
    """Masks per vertex, carried along the flow: the union of its own seed and its sources'."""
    return spread_up(readers_of(sources), order[::-1], seeds)
