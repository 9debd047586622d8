"""How many steps a timed block has, how many are thrown away before it, and before all of them.

In: the time of a step. Out: numbers of steps. Pure: measuring follows it, and so does what a plan
says of its time.
"""

from __future__ import annotations

import math

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
