"""What a step takes beside what its layers' modes decide about. Pure.

In: for each anchor, the sum of its layers' prices and its measured step. Out: a straight line. Some
of the rest is the same in every configuration (input, loss, copies to the host), and some grows
with the step (memory that is set before kernels, ops that could not be matched, waits that are
longer the more the host has to launch).

The line is the weighted least squares solution over the anchors, relative to their steps, with a
constant that is not negative. It is kept from turning prices around by a weak prior (ridge): the
slope is 0 with a standard deviation of 5%, an anchor's step is known to 1%.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import lsq_linear

_STEP_ERROR = 0.01
_SLOPE_ERROR = 0.05
_LARGEST_SLOPE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """A step is `constant` + `factor` x the sum of its layers' prices.

    Attributes:
        constant: in steps of the measured baseline; not negative.
        factor: dimensionless, near 1.
    """

    constant: float
    factor: float


def rest_of(anchors: Sequence[tuple[float, float]]) -> Rest:
    """The line through the anchors.

    Args:
        anchors: for each the sum of its layers' prices and its step, in baseline steps; steps are
            positive.
    """
    rows = [(1 / (step * _STEP_ERROR), prices / (step * _STEP_ERROR)) for prices, step in anchors]
    missing = [(step - prices) / (step * _STEP_ERROR) for prices, step in anchors]
    solved = lsq_linear(
        np.array([*rows, (0.0, 1 / _SLOPE_ERROR)]),
        np.array([*missing, 0.0]),
        bounds=([0.0, -_LARGEST_SLOPE], [np.inf, _LARGEST_SLOPE]),
    )
    constant, slope = solved.x
    return Rest(constant=max(0.0, float(constant)), factor=1.0 + float(slope))
