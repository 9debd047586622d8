"""What is alive at one moment at least, as a sum over conditions on which layers train.

In: ops of a step with their tensors, and for each op when it runs: of each of some sets of layers
at least one has to train. Out: for a configuration, bytes with their condition, of the same kind:
what that configuration holds at a moment. Every other configuration holds those of them whose
condition it meets, so that the sum never exceeds what the walk of `frostline.memory.liveness` finds
there. It is less only where an op may write over its input. Sets of layers are bit masks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

from frostline.attribute.walk import union
from frostline.memory.liveness import (
    NO_BYTES,
    OF_SHAPES,
    OVERWRITES,
    TEMPORARY,
    MemoryOp,
    renamed,
)

When: TypeAlias = frozenset[int]
"""Sets of layers, as masks; of each of them a layer has to train. Empty: always."""

ALWAYS: When = frozenset()


def meets(when: When, trains: int) -> bool:
    """Whether a configuration, the mask of the layers that train, meets a condition."""
    return all(mask & trains for mask in when)


class Least:
    """Lower bounds on what is alive.

    Args:
        ops: of the step.
        needs: per op, when it runs; None for one that does not run, or of which nothing is known.
        order: positions of the ops in the order in which they run; None: that of `ops`.
    """

    def __init__(
        self,
        ops: Sequence[MemoryOp],
        needs: Sequence[When | None],
        order: Sequence[int] | None = None,
    ) -> None:
        sequence = range(len(ops)) if order is None else order
        self._place = {op: place for place, op in enumerate(sequence)}
        self._root: dict[tuple[int, int], tuple[int, int]] = {}
        self._bytes: dict[tuple[int, int], int] = {}
        self._quiet: set[tuple[int, int]] = set()  # what may lie in its op's own input
        self._needs = needs
        self._readers: dict[tuple[int, int], list[tuple[int, When]]] = defaultdict(list)
        for op in sequence:
            self._make(ops, op)

    def at(self, op: int, trains: int) -> dict[When, int]:
        """Bytes that a configuration holds while an op runs, by their condition.

        `trains` is the mask of the layers that train in it.
        """
        now = self._place[op]
        found: dict[When, int] = defaultdict(int)
        for tensor, n_bytes in self._bytes.items():
            made = self._place[tensor[0]]
            own = self._needs[tensor[0]]
            if made > now or own is None or not meets(own, trains):
                continue
            if made == now:
                if tensor not in self._quiet:
                    found[own] += n_bytes
                continue
            read = _any_of([when for place, when in self._readers[tensor] if place >= now], trains)
            if read is not None:
                found[_both(own, read)] += n_bytes
        return dict(found)

    def masks(self, n_bytes: int) -> set[int]:
        """Sets of layers that occur in conditions of tensors of at least so many bytes."""
        found: set[int] = set()
        for tensor, size in self._bytes.items():
            if size < n_bytes:
                continue
            found |= self._needs[tensor[0]] or ALWAYS
            later = 0
            for _, when in reversed(self._readers[tensor]):
                found |= when
                if len(when) == 1:
                    later |= next(iter(when))
                    found.add(later)
        return found

    def _make(self, ops: Sequence[MemoryOp], op: int) -> None:
        kind = ops[op].op_type
        inputs = [each for each in ops[op].inputs or () if each in self._root]
        own = self._needs[op]
        if own is not None and kind not in OF_SHAPES:
            for source in inputs:
                self._readers[self._root[source]].append((self._place[op], own))
        if temporary := ops[op].temporary_bytes:
            self._bytes[op, TEMPORARY] = temporary
        for output, n_bytes in enumerate(ops[op].output_bytes or ()):
            tensor = (op, output)
            other = renamed(ops[op], output)
            if other in self._root:
                self._root[tensor] = self._root[other]
                continue
            self._root[tensor] = tensor
            if n_bytes and kind not in NO_BYTES:
                self._bytes[tensor] = n_bytes
                if kind in OVERWRITES and output == 0 and self._fits(inputs, n_bytes):
                    self._quiet.add(tensor)

    def _fits(self, inputs: Sequence[tuple[int, int]], n_bytes: int) -> bool:
        return any(self._bytes.get(self._root[each]) == n_bytes for each in inputs)


def _any_of(conditions: Sequence[When], trains: int) -> When | None:
    """A condition under which at least one of these is met, and which a configuration meets.

    None where it meets none of them.
    """
    met = [when for when in conditions if meets(when, trains)]
    if not met:
        return None
    if ALWAYS in met:
        return ALWAYS
    single = [mask for when in conditions if len(when) == 1 for mask in when]
    if any(mask & trains for mask in single):
        return frozenset({union(single)})
    return min(met, key=len)


def _both(first: When, second: When) -> When:
    """Both conditions, without sets that contain another one of them."""
    masks = first | second
    return frozenset(
        mask for mask in masks if not any(other != mask and not other & ~mask for other in masks)
    )
