"""Blocks of two arms in turn, on a machine whose time is computed."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from frostline.trial import MeasureSpec

pytestmark = pytest.mark.tf

MEASURE = MeasureSpec(
    target_ci=0.001, min_pairs=10, max_pairs=33, profile_steps=2, keep_traces="all", seed=5
)


class Machine:
    """Time goes by as steps are run; the first steps after a switch find cold caches."""

    def __init__(self) -> None:
        self.warm_steps = 0
        self.ran_last: object | None = None

    def step_ns(self, arm: object, step_ns: float) -> float:
        """What the next step of an arm takes."""
        self.warm_steps = self.warm_steps + 1 if arm is self.ran_last else 0
        self.ran_last = arm
        return step_ns * (1 + 0.15 * 0.55**self.warm_steps)


def arm_of(machine: Machine, step_ns: float, *, block_steps: int, cycle: int = 1) -> Any:
    """An arm whose steps take so long on that machine when they are warm."""
    from frostline.measure.arm import Arm, Block

    class Simulated(Arm):
        def __init__(self) -> None:
            self.steps = 0
            self.moves = 0
            self.place = 1.0
            self.cycle = cycle
            self.block_steps = block_steps

        def run(self, n_steps: int) -> Block:
            own = step_ns * self.place
            took = sum(machine.step_ns(self, own) for _ in range(n_steps))
            self.steps += n_steps
            return Block(n_steps=n_steps, elapsed_ns=round(took))

        def move(self) -> bool:
            self.moves += 1
            return True

    return Simulated()


@pytest.mark.parametrize("chosen", [1, 2, 5, 9])
def test_a_copy_is_as_fast_as_its_original_whatever_its_warm_up_took(chosen: int) -> None:
    """First steps are the slower ones: a copy with shorter blocks would seem slower."""
    from frostline.measure.interleave import interleave

    machine = Machine()
    baseline = arm_of(machine, 4e6, block_steps=5)
    copy = arm_of(machine, 4e6, block_steps=chosen)
    found = interleave(baseline, copy, MEASURE, label="control")
    assert {each.n_steps for each in found.samples if not each.warmup} == {5}
    assert found.estimate.speedup == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("speedup", [0.7, 1.3, 4.0])
def test_a_speedup_is_that_of_warm_steps(speedup: float) -> None:
    from frostline.measure.interleave import interleave

    machine = Machine()
    baseline = arm_of(machine, 4e6, block_steps=5)
    trial = arm_of(machine, 4e6 / speedup, block_steps=1)
    found = interleave(baseline, trial, MEASURE, label="trial")
    assert found.estimate.speedup == pytest.approx(speedup, rel=0.007)
    for each in found.samples:
        if not each.warmup:
            assert each.n_steps * each.step_ns >= 20e6


def test_blocks_hold_whole_cycles_of_each_arm() -> None:
    from frostline.measure.interleave import interleave

    machine = Machine()
    baseline = arm_of(machine, 4e6, block_steps=8, cycle=4)
    trial = arm_of(machine, 4.2e6, block_steps=3, cycle=3)
    found = interleave(baseline, trial, MEASURE, label="trial")
    for arm, cycle in (("baseline", 4), ("trial", 3)):
        steps = {each.n_steps for each in found.samples if each.arm == arm}
        assert all(count % cycle == 0 for count in steps), steps


def test_what_settles_the_blocks_is_no_part_of_the_estimate() -> None:
    from frostline.measure.interleave import interleave

    machine = Machine()
    arms = [arm_of(machine, 4e6, block_steps=5) for _ in range(2)]
    found = interleave(*arms, MEASURE, label="control")
    settling = [each for each in found.samples if each.pair < 0]
    assert {each.arm for each in settling} == {"baseline", "trial"}
    assert all(each.warmup for each in settling)
    assert found.samples[: len(settling)] == tuple(settling)


def test_a_copy_that_lies_in_a_slower_place_is_no_slower() -> None:
    """GIVEN steps that depend on the place of the variables WHEN those are moved THEN 1.0x."""
    from frostline.measure.interleave import interleave

    machine = Machine()
    baseline, copy = (arm_of(machine, 4e6, block_steps=5) for _ in range(2))
    places = np.random.default_rng(0)
    for arm, factor in ((baseline, 0.97), (copy, 1.03)):
        arm.place = factor
        arm.move = lambda arm=arm: setattr(arm, "place", 1 + 0.03 * places.standard_normal())
    found = interleave(baseline, copy, MEASURE, label="control").estimate
    assert found.low < 1 < found.high
    assert found.speedup == pytest.approx(1, abs=0.02)


def test_moves_that_take_long_are_made_after_every_fourth_pair() -> None:
    from frostline.measure.interleave import interleave

    machine = Machine()
    quick, slow = (arm_of(machine, 4e6, block_steps=5) for _ in range(2))
    moved = slow.move

    def move() -> bool:
        time.sleep(0.02)
        return moved()

    slow.move = move
    pairs = len({
        each.pair
        for each in interleave(quick, slow, MEASURE, label="control").samples
        if not each.warmup
    })  # fmt: skip
    assert pairs == 33
    assert slow.moves == 1 + 32 // 4


def test_where_nothing_is_moved_no_cold_steps_are_run() -> None:
    """As on a GPU: steps are discarded only where another arm ran before."""
    from frostline.measure.interleave import interleave

    machine = Machine()
    arms = [arm_of(machine, 4e6, block_steps=5) for _ in range(2)]
    for arm in arms:
        arm.move = lambda: False
    samples = interleave(*arms, MEASURE, label="control").samples
    ran = [each.arm for each in samples if not each.warmup or each.pair < 0]
    discarded = sum(each.warmup for each in samples if each.pair >= 0)
    switches = sum(one != other for one, other in pairwise(ran))
    assert 0 < discarded <= switches < 2 * 33
