"""How far predicted peaks are off, on configurations that took no part in the prediction.

In: predicted and measured peaks in bytes. Out: `PeakErrors`. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from frostline.pair_order import in_order

DIFFERENT = 0.05
"""Measured peaks that differ by more than this share of the smaller one count for the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakErrors:
    """Errors of predicted peaks.

    Attributes:
        count: configurations.
        mean_abs, max_abs: of |predicted / measured - 1|.
        pairs: pairs of configurations whose measured peaks differ by more than `DIFFERENT`.
        ordered_share: share of those that the predictions put into the right order, which equal
            predictions do not; None without such pairs.
    """

    count: int
    mean_abs: float
    max_abs: float
    pairs: int
    ordered_share: float | None


def peak_errors(peaks: Sequence[tuple[int, int]]) -> PeakErrors | None:
    """Errors over (predicted, measured) peaks; None where there are none."""
    known = [(predicted, measured) for predicted, measured in peaks if measured > 0]
    if not known:
        return None
    errors = [abs(predicted / measured - 1) for predicted, measured in known]
    right = [
        in_order((first[1], second[1]), (first[0], second[0]))
        for first, second in combinations(known, 2)
        if max(first[1], second[1]) > (1 + DIFFERENT) * min(first[1], second[1])
    ]
    return PeakErrors(
        count=len(known),
        mean_abs=fmean(errors),
        max_abs=max(errors),
        pairs=len(right),
        ordered_share=fmean(right) if right else None,
    )
