"""The speedup from paired samples, and when to stop measuring. Pure; no clock, no TensorFlow.

A pair is one baseline block and one trial block, measured next to each other in random order. A
drift of the machine changes both alike and leaves the ratio baseline / trial as it is; it would
change medians of separate runs. The speedup is the median of the ratios. Its interval is the exact
one by order statistics, which assumes no distribution (the sign test inverted: Conover, "Practical
Nonparametric Statistics", 3rd ed. 1999, sec. 3.2). It is computed at a few fixed numbers of pairs
only, because stopping at the first narrow interval makes any nominal 95% interval cover less. A
percentile bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13) covers
90% under the same looks, the exact interval 95 to 98% (tests/test_pairing.py); only what was begun
under the bootstrap goes on under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from frostline.trial import FORMER_STOPPING, STOPPING, StoppingRule

LOOKS = (10, 15, 22, 33, 60)
_GROWTH = 1.5
_RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedupEstimate:
    """Speedup of a trial over its baseline.

    Attributes:
        speedup: median of the paired ratios, dimensionless.
        low, high: ends of its 95% interval.
    """

    speedup: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2

    def width_by(self, rule: StoppingRule) -> float:
        """What a stopping rule compares with its target: the half-width, or its share."""
        return self.half_width if rule == FORMER_STOPPING else self.half_width / self.speedup


def looks(min_pairs: int, max_pairs: int) -> tuple[int, ...]:
    """Numbers of pairs at which the interval is computed, ascending, ending with `max_pairs`.

    The first is `min_pairs`. Between the bounds they follow the fixed schedule 10, 15, 22, 33, 60,
    continued by a factor of 1.5.

    Raises:
        ValueError: bounds out of order, or fewer than 2 pairs (no interval).
    """
    if not 2 <= min_pairs <= max_pairs:
        raise ValueError(f"pairs need 2 <= min_pairs <= max_pairs, got {min_pairs}, {max_pairs}")
    schedule = list(LOOKS)
    while schedule[-1] < max_pairs:
        schedule.append(round(schedule[-1] * _GROWTH))
    inner = [n for n in schedule if min_pairs < n < max_pairs]
    return tuple(dict.fromkeys([min_pairs, *inner, max_pairs]))


def estimate(
    ratios: Sequence[float], *, rule: StoppingRule = STOPPING, seed: int = 0
) -> SpeedupEstimate:
    """Median of paired ratios with its 95% interval.

    The exact interval lies between two of the ratios. Fewer than 6 have none that reaches 95%, and
    get the widest there is, from the least to the largest: it covers 94% with 5, 88% with 4, 75%
    with 3 and 50% with 2.

    Args:
        ratios: baseline step time / trial step time, one per pair; at least 2, all positive.
        rule: by which interval.
        seed: makes the resampling of a bootstrap repeatable.

    Raises:
        ValueError: fewer than 2 ratios, or one that is not a positive finite number.
    """
    values = np.asarray(ratios, dtype=np.float64)
    if values.size < 2 or not np.all(np.isfinite(values)) or np.any(values <= 0):
        raise ValueError(f"an estimate needs 2 or more positive finite ratios, got {ratios!r}")
    centre = float(np.median(values))
    low, high = _exact(values) if rule == STOPPING else _bootstrapped(values, seed)
    return SpeedupEstimate(speedup=centre, low=low, high=high)


def _exact(values: NDArray[np.float64]) -> tuple[float, float]:
    """Interval of the median by order statistics."""
    found = stats.quantile_test(values, p=0.5).confidence_interval(CONFIDENCE)
    if np.isnan(found.low) or np.isnan(found.high):
        return float(values.min()), float(values.max())
    return float(found.low), float(found.high)


def _bootstrapped(values: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """Percentile bootstrap interval of the median."""
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    interval = stats.bootstrap(
        (values,),
        np.median,
        n_resamples=_RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def first_arm_is_baseline(pair: int, *, seed: int, label: str) -> bool:
    """Whether the baseline goes first in this pair: random, balanced over every four pairs.

    Pairs 4k and 4k+1, counted from 0, have one order, 4k+2 and 4k+3 the other, and a draw decides
    which. So an order effect cancels in the median, the order is not in step with anything periodic
    on the machine, and neighbouring ratios are hardly correlated, as the interval presumes.

    A disturbance that lasts as long as two blocks falls on blocks of two arms, or on the last of
    one pair and the first of the next. Where those belong to the same arm (orders that differ) both
    ratios move the same way, else against each other: ratios of copies of a network were correlated
    by 0.14 and -0.12 (350 controls on two cores). Orders differ here between 3 of 8 neighbours.
    `label` (the `trial_id`) tells trials apart.
    """
    key = [seed, pair // 4, *label.encode()]
    drawn = bool(np.random.default_rng(key).integers(2))
    return drawn if pair % 4 < 2 else not drawn
