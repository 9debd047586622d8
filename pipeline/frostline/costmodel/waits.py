"""What of an unprofiled step is waiting, and whose: from the profiles of the anchors. Pure.

In: for each anchor, its unprofiled step, the work of its ops and the waits before them. Out: the
shares of the unprofiled step that are waits of ops, and idle time of no op.

The work is known from the profile. Waits are not: the profiler lengthens every launch, and while a
block of steps runs, the host works ahead of the device. What the anchors have in common tells them
apart, by least squares with coefficients that are not negative (Lawson and Hanson's NNLS), relative
to each anchor's step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

_HALF_REMAINS = 0.02
"""Weight of the guess that half of the waits remain. It decides where waits are too short to tell,
and moves nothing where they matter: there the anchors weigh 1 each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """An anchor's times per step; `step` and `work` in one unit of the caller's.

    Attributes:
        step: unprofiled.
        work: its ops' times; on a host, as in the unprofiled step.
        wait_ns: sum of the waits before them, in the profile.
    """

    step: float
    work: float
    wait_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleShares:
    """Shares of an unprofiled step, together from 0 to 1.

    Attributes:
        waits: the device waits before some op; shared out by the ops' waits.
        between: the device is idle for no op: between steps.
    """

    waits: float
    between: float


NEVER_IDLE = IdleShares(waits=0.0, between=0.0)


def idle_on_accelerator(anchors: Sequence[StepTimes]) -> list[IdleShares]:
    """The idle shares of anchors on an accelerator; `step` and `work` are in nanoseconds.

    Kernels take as long under the profiler, but the clock of a device that is busy without a pause
    may differ from that in the short profiled window. So two numbers stand for all anchors alike,
    that factor and the part of the waits that remains, from 0 to 1:

        step = factor x (work + remaining x wait)

    Between unprofiled steps the device does not wait, because the host works ahead.
    """
    rows = [((one.work + one.wait_ns) / one.step, one.work / one.step) for one in anchors]
    rows.append((_HALF_REMAINS, -_HALF_REMAINS))
    (both, work_alone), _ = nnls(np.array(rows), np.array([*[1.0] * len(anchors), 0.0]))
    remaining = both / (both + work_alone) if both else 0.0
    return [
        IdleShares(
            waits=remaining * one.wait_ns / (one.work + remaining * one.wait_ns), between=0.0
        )
        for one in anchors
    ]


def idle_on_host(anchors: Sequence[StepTimes]) -> list[IdleShares]:
    """The idle shares of anchors whose ops the host runs.

    What the ops leave of a step is the same for all configurations (calling the step), but for what
    each op costs beside its work (its dispatch, and the arguments of the call):

        step - work = constant + factor x wait
    """
    rows = [(1 / one.step, one.wait_ns / one.step) for one in anchors]
    idle = [max(0.0, one.step - one.work) / one.step for one in anchors]
    (constant, factor), _ = nnls(np.array(rows), np.array(idle))
    shares = []
    for one, share in zip(anchors, idle, strict=True):
        waits = factor * one.wait_ns
        whole = constant + waits
        part = waits / whole if whole else 0.0
        shares.append(IdleShares(waits=share * part, between=share * (1 - part)))
    return shares
