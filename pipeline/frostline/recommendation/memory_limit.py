"""A limit on a configuration's memory, for the search over configurations.

In: a memory model and a number of bytes. Out: for a configuration that needs more, the fewest of
its training layers that cannot train together within the limit. Whatever else trains with those
needs no less, so that no such configuration has to be looked at again: one row excludes them all.
That needs a peak that never falls when another layer trains, which a property test holds.

The fewest layers are found by halving (QuickXplain, Junker 2004, "QUICKXPLAIN: Preferred
explanations and relaxations for over-constrained problems", AAAI).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from frostline.errors import UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.memory.model import MemoryModel

_UNITS = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]*)\s*")


def parse_size(text: str) -> int:
    """Bytes of a size as people write it: `16GiB`, `800 MB`, `2e9` is refused.

    Raises:
        UsageError: it is no size above 0.
    """
    found = _SIZE.fullmatch(text)
    factor = _UNITS.get(found[2].lower()) if found else None
    size = round(float(found[1]) * factor) if found and factor else 0
    if not size:
        raise UsageError(
            f"--memory {text}: it is a size above 0 with its unit, as in 16GiB or 800MB"
        )
    return size


class MemoryLimit:
    """What may train within a number of bytes.

    Args:
        memory: predicts peaks.
        facts: the model.
        limit_bytes: of device memory.
    """

    def __init__(self, memory: MemoryModel, facts: ModelFacts, limit_bytes: int) -> None:
        self._memory = memory
        self._variables = [frozenset(v.path for v in layer.variables) for layer in facts.layers]
        self._every = frozenset().union(*self._variables)
        self._limit_bytes = limit_bytes
        self._known: dict[frozenset[int], bool] = {}

    def excess(self, training: Sequence[bool]) -> tuple[int, ...] | None:
        """The fewest layers, by position, that exceed the limit together; None where it is kept.

        Empty where nothing at all fits.
        """
        layers = [position for position, trains in enumerate(training) if trains]
        if self._fits(frozenset(layers)):
            return None
        if not self._fits(frozenset()):
            return ()
        return tuple(sorted(self._fewest(frozenset(), layers, is_changed=False)))

    def _fewest(
        self, beside: frozenset[int], layers: list[int], *, is_changed: bool
    ) -> frozenset[int]:
        """The fewest of these layers that exceed the limit beside others."""
        if is_changed and not self._fits(beside):
            return frozenset()
        if len(layers) == 1:
            return frozenset(layers)
        first, second = layers[: len(layers) // 2], layers[len(layers) // 2 :]
        of_second = self._fewest(beside | frozenset(first), second, is_changed=True)
        of_first = self._fewest(beside | of_second, first, is_changed=bool(of_second))
        return of_first | of_second

    def _fits(self, layers: frozenset[int]) -> bool:
        if layers not in self._known:
            trained = frozenset().union(*(self._variables[each] for each in layers))
            needed = self._memory.peak_bytes(self._every - trained)
            self._known[layers] = needed <= self._limit_bytes
        return self._known[layers]
