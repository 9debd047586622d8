"""Whether configurations stand in the same order in two sweeps. Pure.

In: the speedup of each configuration in A, and its speedup, measured or predicted, in B. Out: how
many pairs of configurations whose order is clear in A have the same order in B. An order is clear
where the two intervals do not overlap and the speedups differ by more than the noise floor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from frostline.analyse.association import rank_correlation
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
    found = [
        (_clear(one[0], other[0], floor_a or 0.0), _clear(one[1], other[1], floor_b or 0.0))
        for one, other in combinations(both, 2)
    ]
    clear = [(in_a, in_b) for in_a, in_b in found if in_a]
    return Order(
        configurations=len(both),
        pairs=len(clear),
        same=sum(in_a == in_b for in_a, in_b in clear),
        reversed=sum(in_a == -in_b for in_a, in_b in clear),
        rho=rank_correlation((a.value, b.value) for a, b in both),
    )


def _clear(one: Measured, other: Measured, floor: float) -> int:
    """1: the first is clearly faster; -1: the second is; 0: it is not clear."""
    fast, slow = (one, other) if one.value > other.value else (other, one)
    if fast.low <= slow.high or fast.value / slow.value - 1 <= floor:
        return 0
    return 1 if fast is one else -1
