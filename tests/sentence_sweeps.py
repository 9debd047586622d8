"""Sweeps drawn at random, to hold the program's sentences against: noise, waits, inputs, sizes.

A seed makes one sweep: a chain of layers whose ops have drawn costs, controls that differ by drawn
noise, and trials whose speedups follow from their ops and the noise. All of it is written to OUT.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from random import Random

from built_trials import GPU, MS, Built, Chain

NOISE = (0.001, 0.01, 0.03, 0.1, 0.3, 0.9)
WAITING = (0.0, 0.0, 0.05, 0.19, 0.21, 0.5, 0.9)
INPUT = (0.0, 0.0, 0.01, 0.19, 0.25, 0.6)
JITTER = (0.0, 0.0, 0.005, 0.05, 0.4)
TRIALS = 4


def draw_sweep(seed: int, folder: Path) -> None:
    """Write the sweep of a seed to a folder."""
    draw = Random(seed)
    chain = _chain(draw)
    noise, jitter = draw.choice(NOISE), draw.choice(JITTER)
    whole = sum(op["ns_per_step"] for op in chain.ops())
    ends = {
        "jit_resolved": draw.random() < 0.4,
        "jit_compile": draw.choice(("auto", "true", "false")),
    }
    built = Built(folder=folder, chain=chain)
    built.waiting_ns = round(_of_whole(draw.choice(WAITING), whole))
    reading_ns = round(_of_whole(draw.choice(INPUT), whole))

    def ops(frozen: tuple[int, ...]) -> list[dict]:
        found = chain.ops(frozen)
        if reading_ns:
            found.append(chain.op(None, "input", "IteratorGetNext", reading_ns))
        return [
            op | {"ns_per_step": max(1, round(op["ns_per_step"] * _factor(draw, jitter)))}
            for op in found
        ]

    built.baseline_ns = whole + reading_ns + built.waiting_ns
    for replicate in range(draw.choice((0, 1, 2, 3, 3, 3))):
        measured = _measured(draw, 1.0, noise)
        about = {"is_control": True, "replicate": replicate} | measured | ends
        built.trial("none", (), ops=ops(()), **about)
    for policy, frozen in _policies(draw, len(chain.kinds)).items():
        mine = ops(frozen)
        step_ns = sum(op["ns_per_step"] for op in mine) + built.waiting_ns
        known = {"earliest_trainable_layer": _first(frozen)}
        built.trial(
            policy, frozen, ops=mine, **_measured(draw, built.baseline_ns / step_ns, noise),
            **ends, **known,
        )  # fmt: skip
    built.write()


def _chain(draw: Random) -> Chain:
    layers = draw.randint(2, 9)
    kinds = [draw.choice(("Conv2D", "Dense", "BatchNormalization")) for _ in range(layers)]
    scale = draw.choice((0.1, 1.0, 10.0))
    costs = {
        name: round(MS * scale * draw.choice((0.01, 0.1, 1, 2, 8)))
        for name in ("forward", "dx", "dw", "update")
    }
    chain = Chain(kinds=kinds, **costs)
    return replace(chain, device=GPU) if draw.random() < 0.5 else chain


def _policies(draw: Random, layers: int) -> dict[str, tuple[int, ...]]:
    """Policies and what they freeze; no two freeze the same."""
    found: dict[str, tuple[int, ...]] = {"all_but_head": tuple(range(layers - 1))}
    for _ in range(TRIALS - 1):
        count = draw.randint(1, layers - 1)
        place = draw.randint(0, layers - 1 - count)
        found |= draw.choice((
            {f"prefix:{count}": tuple(range(count))},
            {f"suffix:{count}": tuple(range(layers - 1 - count, layers - 1))},
            {f"layer:{place + 1}": (place,)},
            {f"layers:{place}+{count}": tuple(sorted(draw.sample(range(layers), count)))},
        ))  # fmt: skip
    return {
        policy: frozen for frozen, policy in {each: name for name, each in found.items()}.items()
    }


def _measured(draw: Random, speedup: float, noise: float) -> dict[str, float]:
    """A speedup with noise, and an interval that may or may not hold the truth."""
    found = speedup * _factor(draw, noise)
    wide = 1 + draw.choice((0.1, 1.0, 2.0)) * noise
    return {"speedup": found, "speedup_low": found / wide, "speedup_high": found * wide}


def _factor(draw: Random, noise: float) -> float:
    return math.exp(draw.gauss(0, noise))


def _of_whole(share: float, rest: float) -> float:
    """What has this share of a step whose other parts take `rest`."""
    return share / (1 - share) * rest


def _first(frozen: tuple[int, ...]) -> int:
    return next(i for i in range(len(frozen) + 1) if i not in frozen)
