"""A limit on a configuration's memory, for the search over configurations.

In: a memory model, the integer program of the search, and a number of bytes. Out: for a
configuration that needs more, a row that excludes it and others like it, and none that fits. Two
kinds of rows:

1. What is alive at this configuration's peak has to fit, as a sum over sets of layers of which one
   trains (`frostline.memory.least`). That sum never exceeds the peak, so no configuration that fits
   is excluded, and all are that hold the same tensors then.
2. Where that sum is not large enough: the fewest of the configuration's training layers that exceed
   the limit do not train together. Whatever else trains with them needs no less, which needs a peak
   that never falls when another layer trains; a property test holds that.

The fewest layers are found by halving (QuickXplain, Junker 2004, "QUICKXPLAIN: Preferred
explanations and relaxations for over-constrained problems", AAAI).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from frostline.errors import UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.memory.model import MemoryModel
from frostline.recommendation.program import Program

_ROUNDING = 1e-9
"""Share of the limit by which a row is relaxed, so that rounding excludes nothing."""

_MOST_ROWS = 40
"""Moments of one configuration that get a row: the highest ones."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A row that every configuration within the limit satisfies.

    Attributes:
        values: coefficients by column of the program.
        upper: what their sum is not above.
        in_bytes: whether the row is of bytes, as shares of the limit.
    """

    values: Mapping[int, float]
    upper: float
    in_bytes: bool = False


class MemoryLimit:
    """What may train within a number of bytes.

    Args:
        memory: predicts peaks.
        facts: the model.
        program: whose columns the rows are about.
        limit_bytes: of device memory.
    """

    def __init__(
        self, memory: MemoryModel, facts: ModelFacts, program: Program, limit_bytes: int
    ) -> None:
        self._memory = memory
        self._params = [layer.params for layer in facts.layers]
        self._variables = [frozenset(v.path for v in layer.variables) for layer in facts.layers]
        self._every = frozenset().union(*self._variables)
        self._sets = program.sets
        self._limit_bytes = limit_bytes
        self._known: dict[frozenset[int], int] = {}

    def keeps(self, training: Sequence[bool]) -> bool:
        """Whether a configuration keeps the limit."""
        return self._fits(frozenset(each for each, trains in enumerate(training) if trains))

    def over(self, training: Sequence[bool]) -> float:
        """What a configuration needs beyond the limit, as a share of it; 0 where it keeps it."""
        layers = frozenset(position for position, trains in enumerate(training) if trains)
        return max(0.0, self._needs(layers) / self._limit_bytes - 1)

    def excess(self, training: Sequence[bool], *, thorough: bool = True) -> list[Cut]:
        """Rows that exclude a configuration which exceeds the limit; none for one that keeps it.

        Where no row of bytes does, finding the fewest layers takes many predictions; without
        `thorough` there is no row then.
        """
        layers = frozenset(position for position, trains in enumerate(training) if trains)
        if self._fits(layers):
            return []
        if not self._fits(frozenset()):
            return [Cut(values={0: 0.0}, upper=-1.0)]
        above = self._memory.moments_above(self._every - self._trained(layers), self._limit_bytes)
        rows = [self._at(op, layers) for op in above[:_MOST_ROWS]]
        found = [row for row in rows if row is not None]
        return found or ([self._not_together(layers)] if thorough else [])

    def _at(self, op: int, layers: frozenset[int]) -> Cut | None:
        """A row of what is alive while an op runs; None where that does not exclude these."""
        held, slope = self._memory.held_line
        trains = sum(1 << each for each in layers)
        alive: dict[int, int] = defaultdict(int)
        always = 0
        for when, n_bytes in self._memory.least_at(op, trains).items():
            # Where several conditions have to be met: one for each, less what is one too many.
            always -= (len(when) - 1) * n_bytes
            for mask in when:
                alive[self._column(mask, trains)] += n_bytes
        for per_byte, constant in self._memory.bounds():
            values: dict[int, float] = defaultdict(float)
            for column, n_bytes in alive.items():
                values[column] += per_byte * n_bytes
            for position, params in enumerate(self._params):
                values[position] += slope * params
            fixed = held + constant + per_byte * always
            # Every column of `alive` is 1 in this configuration.
            needed = fixed + slope * sum(self._params[each] for each in layers)
            needed += per_byte * sum(alive.values())
            if needed > self._limit_bytes * (1 + _ROUNDING):
                scale = 1 / self._limit_bytes
                return Cut(
                    values={column: value * scale for column, value in values.items() if value},
                    upper=(self._limit_bytes * (1 + _ROUNDING / 2) - fixed) * scale,
                    in_bytes=True,
                )
        return None

    def _column(self, mask: int, trains: int) -> int:
        """The column of a set of layers, or of its largest part with one that trains."""
        if mask not in self._sets:
            parts = [each for each in self._sets if not each & ~mask and each & trains]
            mask = max(parts, key=int.bit_count)
        return self._sets[mask]

    def _not_together(self, layers: frozenset[int]) -> Cut:
        """That the fewest layers which exceed the limit do not train together."""
        fewest = self._fewest(frozenset(), sorted(layers), is_changed=False)
        return Cut(values=dict.fromkeys(sorted(fewest), 1.0), upper=len(fewest) - 1.0)

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
        return self._needs(layers) <= self._limit_bytes

    def _needs(self, layers: frozenset[int]) -> int:
        if layers not in self._known:
            self._known[layers] = self._memory.peak_bytes(self._every - self._trained(layers))
        return self._known[layers]

    def _trained(self, layers: frozenset[int]) -> frozenset[str]:
        return frozenset().union(*(self._variables[each] for each in layers))
