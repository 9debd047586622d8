"""What remains of the profiled waits in an unprofiled step. Pure.

In: for each anchor, its unprofiled step, the work of its ops and the waits before them. Out: the
share of each unprofiled step in which the device waits. The work is known from the profile within a
per cent, since kernels take as long under the profiler. Waits are not: the profiler lengthens every
launch, and while a block of steps runs, the host works ahead of the device.

So two numbers stand for all anchors alike: the factor by which work is slower outside of the short
profiled window (the clock of a device that is busy without a pause), and the share of the waits
that remains, from 0 to 1. They are the least squares solution of

    step = factor x (work + remaining x wait)

over the anchors, relative to the step, both not negative (Lawson and Hanson's NNLS).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

_HALF_HEARTED = 0.02
"""Weight of the guess that half of the waits remain. It decides where waits are too short to tell,
and moves nothing where they matter: there the anchors weigh 1 each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """An anchor's times per step; the three in one unit.

    Attributes:
        step_ns: unprofiled.
        work_ns: sum of its ops' times.
        wait_ns: sum of the waits before them, in the profile.
    """

    step_ns: float
    work_ns: float
    wait_ns: float


def remaining_waits(anchors: Sequence[StepTimes]) -> float:
    """The share of the profiled waits that remains in unprofiled steps, from 0 to 1.

    Raises:
        ValueError: no anchor, or a step that is not positive.
    """
    if not anchors or any(one.step_ns <= 0 for one in anchors):
        raise ValueError("waits are known from anchors whose steps took time")
    # step = m (work + wait) + e work, with m = factor x remaining and m + e = factor
    rows = [
        ((one.work_ns + one.wait_ns) / one.step_ns, one.work_ns / one.step_ns) for one in anchors
    ]
    rows.append((_HALF_HEARTED, -_HALF_HEARTED))
    (both, work_alone), _ = nnls(np.array(rows), np.array([*[1.0] * len(anchors), 0.0]))
    factor = both + work_alone
    return float(both / factor) if factor else 0.0


def idle_share(times: StepTimes, remaining: float) -> float:
    """Share of an unprofiled step in which the device waits, when that share of waits remains."""
    waits_ns = remaining * times.wait_ns
    whole_ns = times.work_ns + waits_ns
    return waits_ns / whole_ns if whole_ns else 0.0
