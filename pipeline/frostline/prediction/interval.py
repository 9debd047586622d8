"""Intervals around predictions, from the errors on configurations that were held out. Pure.

The split-conformal quantile of |log(predicted / measured)| (Vovk, Gammerman and Shafer, Algorithmic
Learning in a Random World, 2005): of n errors the ceil(0.95 (n + 1))-th smallest, so that a new
configuration of the same kind falls inside with a probability of 95% or more, whatever the errors'
distribution. That takes 19 errors; with fewer the largest is taken, which covers n / (n + 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LEAST_HELD_OUT = 5
"""Held-out configurations that it takes for an interval."""

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
    """The share of new configurations that an interval from so many errors holds, at least."""
    return min(COVERAGE, _rank(count) / (count + 1))


def _rank(count: int) -> int:
    return min(count, math.ceil(COVERAGE * (count + 1)))
