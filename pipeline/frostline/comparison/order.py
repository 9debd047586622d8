"""Whether configurations stand in the same order in two sweeps. Pure.

In: the speedup of each configuration in A, and its speedup, measured or predicted, in B. Out: how
many pairs of configurations whose order is clear in A have the same order in B. An order is clear
where the two intervals do not overlap and the speedups differ by more than the noise floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frostline.analyse.association import Floats, rank_correlation
from frostline.comparison.ratio import Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How the order in A compares with that in B.

    Attributes:
        configurations: that stand on both sides.
        pairs: pairs of them whose order is clear in A.
        same, reversed: pairs among these that are clear in B as well, in the same or in the
            opposite order; the others are too close in B.
        rho: Spearman's rank correlation of the speedups; None with fewer than five configurations.
    """

    configurations: int
    pairs: int
    same: int
    reversed: int
    rho: float | None

    @property
    def close(self) -> int:
        """Pairs whose order is clear in A and not in B."""
        return self.pairs - self.same - self.reversed


def order(
    both: Sequence[tuple[Measured, Measured]], floor_a: float | None, floor_b: float | None
) -> Order:
    """Compare the order of configurations.

    Args:
        both: speedups of each configuration in A and in B.
        floor_a: noise floor of A; None where it is not known.
        floor_b: of B.
    """
    sides = [_columns([pair[side] for pair in both]) for side in (0, 1)]
    pairs = same = back = 0
    for number in range(len(both) - 1):
        in_a = _clear(sides[0], number, floor_a or 0.0)
        in_b = _clear(sides[1], number, floor_b or 0.0)
        pairs += int(np.count_nonzero(in_a))
        same += int(np.count_nonzero(in_a * in_b == 1))
        back += int(np.count_nonzero(in_a * in_b == -1))
    return Order(
        configurations=len(both),
        pairs=pairs,
        same=same,
        reversed=back,
        rho=rank_correlation((a.value, b.value) for a, b in both),
    )


def _columns(points: Sequence[Measured]) -> Floats:
    """Value, low and high of each point as three rows."""
    return np.array([[each.value, each.low, each.high] for each in points], np.float64).T


def _clear(points: Floats, number: int, floor: float) -> NDArray[np.int8]:
    """Of a point against each that follows: 1: clearly faster; -1: clearly slower; 0: not clear."""
    value, low, high = points[:, number]
    values, lows, highs = points[:, number + 1 :]
    faster = (low > highs) & (value / values - 1 > floor)
    slower = (lows > high) & (values / value - 1 > floor)
    signs: NDArray[np.int8] = faster.astype(np.int8) - slower.astype(np.int8)
    return signs
