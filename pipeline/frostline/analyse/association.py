"""How well one property of a configuration explains its speedup.

In: that property and the speedup, for each distinct configuration. Out: `Association`: Spearman's
rank correlation and the R2 of a straight line, each with a 95% bootstrap interval over the
configurations; None where there are too few different configurations. Pure and repeatable: the
resampling is seeded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_TRIALS = 5
MIN_DISTINCT = 3
CONFIDENCE = 0.95
_RESAMPLES = 2_000
_MIN_RESAMPLES = 200
_DRAWS = 1_000_000  # resampled values in all; large sweeps need fewer resamples
_MANY = 500  # from so many pairs on, ranks within the whole replace ranks within a resample

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """How a property and the speedup are associated, over distinct configurations.

    Attributes:
        rho, rho_low, rho_high: Spearman's rank correlation, -1 to 1, and its 95% interval.
        r_squared, r_squared_low, r_squared_high: share of the speedup's variance that a straight
            line through the configurations explains, 0 to 1, and its 95% interval.
        trials: number of configurations.
    """

    rho: float
    rho_low: float
    rho_high: float
    r_squared: float
    r_squared_low: float
    r_squared_high: float
    trials: int


def associate(pairs: Iterable[tuple[float | None, float | None]]) -> Association | None:
    """Associate a property with the speedup.

    The intervals are percentile bootstrap intervals over the configurations: they say how far the
    result depends on which configurations the study happened to hold.

    Args:
        pairs: property and speedup of each distinct configuration; pairs with a None are left out.

    Returns:
        None with fewer than `MIN_TRIALS` pairs, or fewer than `MIN_DISTINCT` different properties
        or speedups.
    """
    known = _known(pairs)
    if known is None:
        return None
    xs, ys = known
    resamples = int(np.clip(_DRAWS // xs.size, _MIN_RESAMPLES, _RESAMPLES))
    drawn = np.random.default_rng(0).integers(xs.size, size=(resamples, xs.size))
    if xs.size < _MANY:
        rho_low, rho_high = _interval(_spearman(xs[drawn], ys[drawn]))
    else:
        ranks = _ranks(xs), _ranks(ys)
        rho_low, rho_high = _interval(_pearson(ranks[0][drawn], ranks[1][drawn]))
    r_squared_low, r_squared_high = _interval(_r_squared(xs[drawn], ys[drawn]))
    return Association(
        rho=float(_spearman(xs, ys)),
        rho_low=rho_low,
        rho_high=rho_high,
        r_squared=float(_r_squared(xs, ys)),
        r_squared_low=r_squared_low,
        r_squared_high=r_squared_high,
        trials=int(xs.size),
    )


def rank_correlation(pairs: Iterable[tuple[float | None, float | None]]) -> float | None:
    """Spearman's rank correlation alone; arguments and None as in `associate`."""
    known = _known(pairs)
    return None if known is None else float(_spearman(*known))


def _known(pairs: Iterable[tuple[float | None, float | None]]) -> tuple[Floats, Floats] | None:
    """The pairs without a None as two columns; None where there are too few."""
    known = [(x, y) for x, y in pairs if x is not None and y is not None]
    xs = np.array([x for x, _ in known], dtype=np.float64)
    ys = np.array([y for _, y in known], dtype=np.float64)
    distinct = min(np.unique(xs).size, np.unique(ys).size)
    return None if xs.size < MIN_TRIALS or distinct < MIN_DISTINCT else (xs, ys)


def _interval(resampled: Floats) -> tuple[float, float]:
    # A resample that holds a single configuration shows no association.
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


def _pearson(xs: Floats, ys: Floats) -> Floats:
    x = xs - xs.mean(axis=-1, keepdims=True)
    y = ys - ys.mean(axis=-1, keepdims=True)
    spread = np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.where(spread > 0, (x * y).sum(axis=-1) / spread, np.nan)
    return np.clip(found, -1, 1)


def _spearman(xs: Floats, ys: Floats) -> Floats:
    return _pearson(_ranks(xs), _ranks(ys))


def _ranks(values: Floats) -> Floats:
    from scipy.stats import rankdata  # takes a second to import, and most commands need no ranks

    ranks: Floats = rankdata(values, axis=-1)
    return ranks


def _r_squared(xs: Floats, ys: Floats) -> Floats:
    return np.square(_pearson(xs, ys))
