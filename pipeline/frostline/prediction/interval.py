"""Intervals around predictions, from the errors on configurations that were held out. Pure.

The split-conformal quantile of |log(predicted / measured)| (Vovk, Gammerman and Shafer, Algorithmic
Learning in a Random World, 2005): of n errors the ceil(0.95 (n + 1))-th smallest. A new
configuration of the same kind then falls inside with a probability of at least 95%, whatever the
distribution of the errors. That needs 19 errors; with fewer the largest error is taken, which
covers n / (n + 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST_HELD_OUT = 5
"""The fewest held-out configurations for which there is an interval."""

COVERAGE = 0.95


def spread(errors: Sequence[float]) -> float | None:
    """How far a new configuration's speedup may lie from its prediction, as a factor - 1.

    Args:
        errors: predicted / measured - 1 of each held-out configuration; above -1.

    Returns:
        Dimensionless; None with fewer than `LEAST_HELD_OUT` errors.
    """
    if len(errors) < LEAST_HELD_OUT:
        return None
    logs = sorted(abs(math.log1p(error)) for error in errors)
    return math.expm1(logs[_rank(len(logs)) - 1])


def covered(count: int) -> float:
    """The least share of new configurations that an interval from `count` errors holds."""
    return min(COVERAGE, _rank(count) / (count + 1))


def _rank(count: int) -> int:
    return min(count, math.ceil(COVERAGE * (count + 1)))
