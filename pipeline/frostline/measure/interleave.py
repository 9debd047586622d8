"""Baseline and trial side by side: blocks in turn, in random order, until the interval is narrow.

Both models stay resident. Each switch is followed by steps that are discarded (they are rows too,
marked as warm-up), because the first step after another model ran finds cold caches. Between pairs
the variables of both are moved in memory, so that the interval is not that of one place.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass

from frostline.measure.arm import Arm, Block
from frostline.measure.blocks import cold_steps
from frostline.measure.messages import ArmName, Sample
from frostline.measure.pairing import SpeedupEstimate, estimate, first_arm_is_baseline, looks
from frostline.trial import MeasureSpec

_ALIKE = 1.25
_MOVES_SHARE = 0.1
_MOVES_AFTER = 4
"""Variables are moved after every pair where that takes no more than this share of a pair, and
after so many pairs elsewhere."""
WARM_UP = -1
"""Number of the pair that samples before the first one belong to."""
_ORDERS: tuple[tuple[ArmName, ArmName], ...] = (("baseline", "trial"), ("trial", "baseline"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Samples of both arms and what they say.

    Attributes:
        samples: in the order they were taken, discarded ones included.
        estimate: speedup with its interval.
        stop_reason: `target_ci` or `max_pairs`.
    """

    samples: tuple[Sample, ...]
    estimate: SpeedupEstimate
    stop_reason: str


def median_ns(samples: Iterable[Sample], arm: ArmName) -> int:
    """Median step time of an arm's counted samples, integer nanoseconds."""
    return round(statistics.median(s.step_ns for s in samples if s.arm == arm and not s.warmup))


def sample(block: Block, arm: ArmName, pair: int, position: int, *, warmup: bool) -> Sample:
    """A block as a row."""
    return Sample(
        arm=arm,
        pair=pair,
        position=position,
        warmup=warmup,
        n_steps=block.n_steps,
        step_ns=block.step_ns,
    )


class _Turns:
    """Blocks of both arms in turn; each switch is followed by steps that are discarded."""

    def __init__(self, arms: dict[ArmName, Arm]) -> None:
        self.samples: list[Sample] = []
        self._arms = arms
        self._last: ArmName | None = None
        self._pair_ns = 0
        self._move_ns = 0

    def pair(
        self, pair: int, order: tuple[ArmName, ArmName], *, warmup: bool = False
    ) -> dict[ArmName, float]:
        """A block of each arm, in that order: nanoseconds per step."""
        step_ns = {}
        start = time.perf_counter_ns()
        for position, name in enumerate(order):
            arm = self._arms[name]
            if name != self._last:
                thrown = arm.run(arm.whole_cycles(cold_steps(arm.block_steps)))
                self.samples.append(sample(thrown, name, pair, position, warmup=True))
            block = arm.run(arm.block_steps)
            self.samples.append(sample(block, name, pair, position, warmup=warmup))
            step_ns[name] = block.elapsed_ns / block.n_steps
            self._last = name
        self._pair_ns = time.perf_counter_ns() - start
        return step_ns

    def move(self, pairs: int) -> None:
        """Move the variables of both arms, after so many pairs, where it is time to."""
        if self._move_ns > _MOVES_SHARE * self._pair_ns and pairs % _MOVES_AFTER:
            return
        start = time.perf_counter_ns()
        moved = [arm.move() for arm in self._arms.values()]
        self._move_ns = time.perf_counter_ns() - start
        if any(moved):
            self._last = None  # caches are cold, whichever arm is next

    def settle(self) -> None:
        """Choose the lengths of both arms' blocks anew, from pairs that do not count.

        What an arm took alone, before the other one was there or just after it was compiled, may be
        off by half, and then its blocks are too short or too long. The first steps of a block are
        the slower ones, so a copy with shorter blocks than its original would seem slower. Arms
        that take about as long get blocks of the same number of steps.
        """
        fastest: dict[ArmName, float] = dict.fromkeys(self._arms, math.inf)
        for order in _ORDERS:
            for name, step_ns in self.pair(WARM_UP, order, warmup=True).items():
                fastest[name] = min(fastest[name], step_ns)
        for name, arm in self._arms.items():
            arm.fit_block(fastest[name])
        if max(fastest.values()) <= _ALIKE * min(fastest.values()):
            most = max(arm.block_steps for arm in self._arms.values())
            for arm in self._arms.values():
                arm.block_steps = arm.whole_cycles(most)


def interleave(baseline: Arm, trial: Arm, measure: MeasureSpec, *, label: str) -> Comparison:
    """Measure pairs until the 95% interval is narrow enough (`MeasureSpec`), or `max_pairs`.

    Both arms are warm. `label` (the `trial_id`) tells trials apart in the random order.
    """
    turns = _Turns({"baseline": baseline, "trial": trial})
    ratios: list[float] = []
    found: SpeedupEstimate | None = None
    stop_reason = "max_pairs"
    points = looks(measure.min_pairs, measure.max_pairs)
    gc.collect()
    gc.disable()
    try:
        turns.settle()
        for point in points:
            while len(ratios) < point:
                pair = len(ratios)
                if pair:
                    turns.move(pair)
                is_first = first_arm_is_baseline(pair, seed=measure.seed, label=label)
                step_ns = turns.pair(pair, _ORDERS[0] if is_first else _ORDERS[1])
                ratios.append(step_ns["baseline"] / step_ns["trial"])
            found = estimate(ratios, rule=measure.stopping, seed=measure.seed)
            if found.width_by(measure.stopping) <= measure.target_ci:
                stop_reason = "target_ci"
                break
    finally:
        gc.enable()
    if found is None:
        raise ValueError("no look was scheduled")
    return Comparison(samples=tuple(turns.samples), estimate=found, stop_reason=stop_reason)
