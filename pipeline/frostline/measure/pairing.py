"""The speedup from paired samples, and when to stop measuring. Pure; no clock, no TensorFlow.

A pair is one baseline block and one trial block, measured next to each other in random order. A
drift of the machine changes both alike and leaves the ratio baseline / trial as it is; it would
change medians of separate runs. The speedup is the median of the ratios with a percentile bootstrap
interval (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13). Intervals are
computed at a few fixed numbers of pairs only: a nominal 95% interval covers 88-94% when it is
computed after every pair and measuring stops at the first narrow one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from frostline.trial import STOPPING, StoppingRule

LOOKS = (10, 15, 22, 33, 60)
_GROWTH = 1.5
_RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedupEstimate:
    """Speedup of a trial over its baseline.

    Attributes:
        speedup: median of the paired ratios, dimensionless.
        low, high: ends of its 95% bootstrap interval.
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
        return self.half_width / self.speedup if rule == STOPPING else self.half_width


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


def estimate(ratios: Sequence[float], *, seed: int) -> SpeedupEstimate:
    """Median of paired ratios with its bootstrap interval.

    Args:
        ratios: baseline step time / trial step time, one per pair; at least 2, all positive.
        seed: makes the resampling repeatable.

    Raises:
        ValueError: fewer than 2 ratios, or one that is not a positive finite number.
    """
    values = np.asarray(ratios, dtype=np.float64)
    if values.size < 2 or not np.all(np.isfinite(values)) or np.any(values <= 0):
        raise ValueError(f"an estimate needs 2 or more positive finite ratios, got {ratios!r}")
    centre = float(np.median(values))
    if np.ptp(values) == 0:
        return SpeedupEstimate(speedup=centre, low=centre, high=centre)
    interval = stats.bootstrap(
        (values,),
        np.median,
        n_resamples=_RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return SpeedupEstimate(speedup=centre, low=float(interval.low), high=float(interval.high))


def first_arm_is_baseline(pair: int, *, seed: int, label: str) -> bool:
    """Whether the baseline goes first in this pair: random, balanced over every two pairs.

    Pairs 2k and 2k+1, counted from 0, have opposite orders, and a draw decides which comes first.
    So an order effect cancels in the median, and the order is not in step with anything periodic on
    the machine. `label` (the `trial_id`) tells trials apart.
    """
    key = [seed, pair // 2, *label.encode()]
    drawn = bool(np.random.default_rng(key).integers(2))
    return drawn if pair % 2 == 0 else not drawn
