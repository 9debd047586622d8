"""How many steps are timed, thrown away and profiled.

In: the time of a step, and a trial. Out: the steps of a timed block, those that are thrown away
before it and before all of them, and the windows that are profiled. Pure: measuring follows it, and
so does what a plan says of its time and its disk.
"""

from __future__ import annotations

import math

from frostline.trial import Trial

MIN_BLOCK_NS = 20_000_000
"""A timed block lasts so long, or one step."""

_COLD_STEPS = 4
"""On two cores the first step after a switch took 6 to 24% longer than a warm one, the second 2 to
14%, and from the fifth on nothing was to be seen (steps of 2 to 6 ms, with XLA and without)."""

_SETTLED_AFTER = 100
"""Calls after which TensorFlow's executor has told cheap ops from dear ones. It takes each op of a
CPU to last 100 million cycles at first, and hands it to another thread until a decaying average (9
parts of what it was, 1 of what the op took) is below 8,000 cycles: 90 calls for the cheapest op, 96
for one of 4,000 cycles (KernelStats in tensorflow/core/common_runtime/executor.cc). Copies of a
baseline were 1.3% slower in the first 60 steps that were compared, and as fast after 120."""

_SETTLING_NS = 2_000_000_000

_ANCHOR_LENGTH = 2
"""How many times as long an anchor's windows are as those of a plain trial."""

_ANCHOR_WINDOWS = 3


def block_steps(step_ns: float) -> int:
    """Steps of a timed block, where one takes so many nanoseconds."""
    return math.ceil(MIN_BLOCK_NS / max(step_ns, 1))


def cold_steps(block_steps: int) -> int:
    """Steps to throw away after a switch: half a block's, but as many as find cold caches."""
    return min(block_steps, max(_COLD_STEPS, math.ceil(block_steps / 2)))


def settling_steps(done: int, step_ns: float) -> int:
    """Further steps until the executor of a CPU has its final speed, after so many that were run.

    0 where that would take more than 2 s: what is gained is a percent of a step.
    """
    left = max(0, _SETTLED_AFTER - done)
    return left if left * step_ns <= _SETTLING_NS else 0


def windows_of(trial: Trial, *, on_gpu: bool) -> tuple[int, int]:
    """How many windows a trial gets, and their length in windows of a plain trial.

    On CPUs every control gets what the anchors get: the least disturbed of all stands for the
    trainable anchor. A GPU is quiet (three controls of one sweep on an H200 differ by 0.1% in op
    time), so one window of each anchor is enough there, and the other controls are plain trials.
    """
    if on_gpu:
        return 1, _ANCHOR_LENGTH if trial.anchor is not None else 1
    if trial.anchor is None and not trial.is_control:
        return 1, 1
    return _ANCHOR_WINDOWS, _ANCHOR_LENGTH
