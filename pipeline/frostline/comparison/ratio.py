"""How far two speedups of the same configuration differ, and how sure that is. Pure.

In: a speedup with its 95% interval from each sweep, and how far the controls of each sweep are off.
Out: the ratio B / A with two intervals.

Two things may move a speedup between two sweeps of the same program. The samples of the trial
scatter: the interval of each speedup tells by how much. And a build of the same model, in another
process or at another hour, is a little faster or slower: the controls tell that, since they are
such builds and should all come out as 1. The half-width of the ratio is the larger of the two, in
logarithms:

- of the intervals, the square root of the sum of the squares of the two sides that face each other
  (Zou and Donner, "Construction of confidence limits about effect measures", Statistics in Medicine
  27, 2008);
- of the controls, Student's t times the root of the sum of the two mean squares of log(speedup),
  with the degrees of freedom of Welch and Satterthwaite (Biometrics Bulletin 2, 1946). Each sweep
  counts as many as it has controls, because their mean is known to be 0.

A noise that all speedups of a sweep share, such as a slow build of the baseline, is in the controls
as well, and therefore in every ratio.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scipy.special import ndtri, stdtrit

_CONFIDENCE = 0.95
_FARTHEST = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A positive value with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """How far equal things came out apart in one sweep.

    Attributes:
        rms: root mean square of their logarithms.
        freedom: degrees of freedom of that.
    """

    rms: float
    freedom: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A value of B over the same of A.

    Attributes:
        value: dimensionless; 0.95: 5% lower in B.
        low, high: its own 95% interval.
        joint_low, joint_high: an interval that is wider (Bonferroni), so that with a probability
            of at least 95% the intervals of all ratios that are judged together hold.
    """

    value: float
    low: float
    high: float
    joint_low: float
    joint_high: float


def scatter_of_controls(speedups: Iterable[float]) -> Scatter | None:
    """How far controls are off from 1; None without a control."""
    logs = [math.log(each) for each in speedups]
    if not logs:
        return None
    return Scatter(rms=math.sqrt(sum(x * x for x in logs) / len(logs)), freedom=len(logs))


def drift(steps_ns: Iterable[int]) -> Scatter | None:
    """How far the baseline's step times of one sweep are apart; None with fewer than two."""
    logs = [math.log(each) for each in steps_ns]
    if len(logs) < 2:
        return None
    mean = sum(logs) / len(logs)
    freedom = len(logs) - 1
    return Scatter(rms=math.sqrt(sum((x - mean) ** 2 for x in logs) / freedom), freedom=freedom)


def ratio(a: Measured, b: Measured, noise: tuple[Scatter, Scatter], *, judged: int) -> Ratio:
    """B / A.

    Args:
        a: a quantity in A.
        b: the same in B.
        noise: of A and of B.
        judged: how many ratios are judged together, this one included.
    """
    log = math.log(b.value / a.value)
    down = math.hypot(math.log(b.value / b.low), math.log(a.high / a.value))
    up = math.hypot(math.log(b.high / b.value), math.log(a.value / a.low))
    own, joint = 1 - _CONFIDENCE, (1 - _CONFIDENCE) / judged
    low, high = _ends(log, down, up, noise, own)
    joint_low, joint_high = _ends(log, down, up, noise, joint)
    return Ratio(
        value=math.exp(log), low=low, high=high, joint_low=joint_low, joint_high=joint_high
    )


def _ends(
    log: float, down: float, up: float, noise: tuple[Scatter, Scatter], risk: float
) -> tuple[float, float]:
    wider = ndtri(1 - risk / 2) / ndtri((1 + _CONFIDENCE) / 2)
    least = _half_width(noise, risk)
    return _exp(log - max(wider * down, least)), _exp(log + max(wider * up, least))


def _exp(log: float) -> float:
    """The exponential, finite whatever a few controls far apart make of an end."""
    return math.exp(max(-_FARTHEST, min(log, _FARTHEST)))


def _half_width(noise: tuple[Scatter, Scatter], risk: float) -> float:
    one, other = (each.rms**2 for each in noise)
    if one + other == 0:
        return 0.0
    mine = one / (one + other)
    freedom = 1 / (mine**2 / noise[0].freedom + (1 - mine) ** 2 / noise[1].freedom)
    return float(stdtrit(freedom, 1 - risk / 2)) * math.sqrt(one + other)
