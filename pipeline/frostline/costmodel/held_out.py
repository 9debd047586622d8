"""How good predictions are on configurations that took no part in making them. Pure.

In: measured speedups with their intervals, and what was predicted for them. Out: errors and the
share of pairs in the right order. Only configurations that are no anchors belong in here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from frostline.pair_order import in_order


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """One held-out configuration.

    Attributes:
        measured, low, high: speedup with its 95% interval.
        predicted: predicted speedup.
    """

    measured: float
    low: float
    high: float
    predicted: float

    @property
    def error(self) -> float:
        """Predicted / measured - 1."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutError:
    """Errors of a predictor over held-out configurations.

    Attributes:
        count: configurations.
        mean_abs, max_abs: of |predicted / measured - 1|.
        bias: mean of predicted / measured - 1.
        pairs: pairs of configurations whose measured intervals do not overlap.
        ordered: pairs among these that are predicted in the measured order; equal ones are not.
    """

    count: int
    mean_abs: float
    max_abs: float
    bias: float
    pairs: int
    ordered: int

    @property
    def ordered_share(self) -> float | None:
        """Share of clearly different pairs in the right order; None where there is no such pair."""
        return self.ordered / self.pairs if self.pairs else None


def held_out_error(configurations: Sequence[HeldOut]) -> HeldOutError | None:
    """Errors over held-out configurations; None where there is none."""
    if not configurations:
        return None
    errors = [each.error for each in configurations]
    apart = [
        (one, other)
        for one, other in combinations(configurations, 2)
        if one.high < other.low or other.high < one.low
    ]
    ordered = sum(
        in_order((one.measured, other.measured), (one.predicted, other.predicted))
        for one, other in apart
    )
    return HeldOutError(
        count=len(errors),
        mean_abs=fmean(map(abs, errors)),
        max_abs=max(map(abs, errors)),
        bias=fmean(errors),
        pairs=len(apart),
        ordered=ordered,
    )
