"""Baseline and trial side by side: blocks in turn, in random order, until the interval is narrow.

Both models stay resident. Each switch is followed by steps that are discarded (they are rows too,
marked as warm-up), because the first step after another model ran finds cold caches.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from frostline.measure.arm import Arm, Block
from frostline.measure.messages import ArmName, Sample
from frostline.measure.pairing import SpeedupEstimate, estimate, first_arm_is_baseline, looks
from frostline.trial import MeasureSpec

_DISCARD_SHARE = 4


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


def interleave(baseline: Arm, trial: Arm, measure: MeasureSpec, *, label: str) -> Comparison:
    """Measure pairs until the 95% interval is narrow enough (`MeasureSpec`), or `max_pairs`.

    Both arms are warm. `label` (the `trial_id`) tells trials apart in the random order.
    """
    arms: dict[ArmName, Arm] = {"baseline": baseline, "trial": trial}
    samples: list[Sample] = []
    ratios: list[float] = []
    last: ArmName | None = None
    found: SpeedupEstimate | None = None
    points = looks(measure.min_pairs, measure.max_pairs)
    gc.collect()
    gc.disable()
    try:
        for point in points:
            while len(ratios) < point:
                pair = len(ratios)
                first = first_arm_is_baseline(pair, seed=measure.seed, label=label)
                order: tuple[ArmName, ArmName] = (
                    ("baseline", "trial") if first else ("trial", "baseline")
                )
                step_ns = {}
                for position, name in enumerate(order):
                    arm = arms[name]
                    if name != last:
                        thrown = arm.run(arm.whole_cycles(arm.block_steps // _DISCARD_SHARE or 1))
                        samples.append(sample(thrown, name, pair, position, warmup=True))
                    block = arm.run(arm.block_steps)
                    samples.append(sample(block, name, pair, position, warmup=False))
                    step_ns[name] = block.elapsed_ns / block.n_steps
                    last = name
                ratios.append(step_ns["baseline"] / step_ns["trial"])
            found = estimate(ratios, rule=measure.stopping, seed=measure.seed)
            if found.width_by(measure.stopping) <= measure.target_ci:
                return Comparison(samples=tuple(samples), estimate=found, stop_reason="target_ci")
    finally:
        gc.enable()
    if found is None:
        raise ValueError("no look was scheduled")
    return Comparison(samples=tuple(samples), estimate=found, stop_reason="max_pairs")
