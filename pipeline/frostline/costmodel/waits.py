"""What of an unprofiled step is waiting, and whose: from the profiles of the anchors. Pure.

In: for each anchor, its unprofiled step, the work of its ops and the waits before them. Out: the
shares of the unprofiled step that are waits of ops, idle time of no op, and idle time for updates.

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

_STEP_ERROR = 0.01
_OPTIMIZER_ERROR = 0.5
"""Standard deviation of the guess that an optimizer's op is dispatched as fast as any other."""

_WORK_ERROR = 0.2
"""Standard deviation of the guess that a compiled step works for the share its profile says."""

_NOTHING = 1e-9
"""Dispatch of an op below this share of a step says nothing."""

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
        updates: idle between steps for the variables that are updated, the same for each.
        optimizer: what an op of the optimizer waits, relative to what its own wait says.
    """

    waits: float
    between: float
    updates: float = 0.0
    optimizer: float = 1.0


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
        waits, between = _shared_out(share, factor * one.wait_ns, constant)
        shares.append(IdleShares(waits=waits, between=between))
    return shares


def _shared_out(share: float, one: float, other: float) -> tuple[float, float]:
    """A share in two parts, in proportion to two numbers; all of it the second where both are 0."""
    part = one / (one + other) if one + other else 0.0
    return share * part, share * (1 - part)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledStep:
    """An anchor's step that XLA compiled for the host.

    Attributes:
        step: unprofiled, in any unit.
        work: what its ops take of it by the shares of its profile, in the same unit.
        updated: how many variables it updates.
    """

    step: float
    work: float
    updated: int


def idle_when_compiled(anchors: Sequence[CompiledStep]) -> list[IdleShares]:
    """The idle shares of anchors whose steps XLA compiled for the host.

    Such a step is one call. What it takes beside its ops is the same for all configurations, but
    for the variables that it updates: each is locked, given a new buffer and replaced. The profiler
    also lengthens ops that are a few microseconds long, so that the share of the step that they
    seem to work is off by a factor, the same for all anchors:

        step = constant + each x updated + factor x work

    by least squares relative to the steps, which are known to 1%, with coefficients that are not
    negative and the weak guess that `factor` is 1.
    """
    rows = [(1.0, one.updated, one.work) for one in anchors]
    relative = np.array(rows) / np.array([[one.step] for one in anchors])
    (constant, each, factor), _ = nnls(
        np.vstack([relative / _STEP_ERROR, (0.0, 0.0, 1 / _WORK_ERROR)]),
        np.append(np.ones(len(anchors)) / _STEP_ERROR, 1 / _WORK_ERROR),
    )
    shares = []
    for one in anchors:
        idle = max(0.0, 1 - factor * one.work / one.step)
        updates, between = _shared_out(idle, each * one.updated, constant)
        shares.append(IdleShares(waits=0.0, between=between, updates=updates))
    return shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """What the executor dispatched in an anchor's step.

    Attributes:
        step: the anchor's unprofiled step, in any unit.
        waits: what of it is dispatch, in the same unit.
        optimizer: ops of the optimizer, each as often as it ran.
        others: all other ops, alike.
    """

    step: float
    waits: float
    optimizer: float
    others: float


def optimizer_dispatch(anchors: Sequence[Dispatched]) -> float:
    """What dispatching an op of the optimizer takes, relative to any other op; not negative.

    Dispatch is seen as a whole only, and shared out over the ops that ran. Most ops of an optimizer
    are small sums and products of its own, which TensorFlow's executor runs in place, one after the
    other; an equal share for each makes freezing look dearer than it is where dispatch is most of a
    step. Anchors have nearly the same ops but for the optimizer's, so together they tell:

        waits = each x (others + relative x optimizer)

    by least squares relative to the anchors' steps, which are known to 1%, with coefficients that
    are not negative and the weak guess that `relative` is 1.
    """
    rows = np.array([(one.others / one.step, one.optimizer / one.step) for one in anchors])
    waits = np.array([one.waits / one.step for one in anchors])
    alike = rows.sum(axis=1)
    square = float(alike @ alike)
    each = float(alike @ waits) / square if square else 0.0
    if each < _NOTHING:
        return 1.0
    guess = 1 / (each * _OPTIMIZER_ERROR)
    (other, optimizer), _ = nnls(
        np.vstack([rows / _STEP_ERROR, (-guess, guess)]), np.append(waits / _STEP_ERROR, 0.0)
    )
    return float(optimizer / other) if other else 1.0
