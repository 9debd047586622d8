"""A sweep against the script that people write: `python bench/against_script.py [--rounds N]`.

The demo's net and eight configurations of it. In each round, one after the other:

- *the script* (`bench/script.py`): a new process for the baseline and for each configuration;
- *a sweep* of the same configurations, everything of it: planning, anchors, controls, report data;
- *the same sweep with the script's time*: its pairs go on until it has used about as much.

Once: *the reference*, both models in one process and `fit` of each in turn, with many more steps
(`bench/by_hand.py`, no part of the program).

Recorded:

- wall time at equal precision: the script's time over the sweep's, after the script's number of
  steps is set to what gives its speedups the half-width of the sweep's, by the same interval over
  as long blocks (the half-width falls with the root of the number of blocks). Its processes cost
  more than its steps, so this hardly moves the figure;
- the same of a further configuration: one of the script's processes over one trial. It is what the
  first figure comes to in a large sweep: starting, controls and anchors do not grow with it;
- error at equal time: the mean of |log(speedup / reference)| of the script over that of the sweep.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from by_hand import fit_speedup
from results import record, row_of

from frostline import open_sweep, run_sweep
from frostline.measure.blocks import MIN_BLOCK_NS
from frostline.measure.pairing import SpeedupEstimate, estimate
from frostline.study.study import parse_study

HERE = Path(__file__).parent
BUILDER, BATCH = "frostline.models:small_convnet", 32
POLICIES = (
    "prefix:4", "suffix:2", "regex:block3_", "prefix:8", "suffix:6", "regex:block[246]_",
    "prefix:10", "norms",
)  # fmt: skip
STUDY = """
name = "against-script"
seed = {seed}
[[model]]
name = "net"
builder = "frostline.models:small_convnet"
[train]
batch_size = [32]
[freeze]
policies = {policies}
[measure]
target_ci = {target}
min_pairs = {least}
max_pairs = {most}
[resources]
gpus_per_trial = 0
cpus_per_trial = 2
"""
STEPS = 100
BLOCK_S = MIN_BLOCK_NS / 1e9
COMMAND = "python bench/against_script.py"


def main() -> int:
    """Run in rounds, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reference-rounds", type=int, default=60)
    asked = parser.parse_args()
    times, further, wrongs = [], [], []
    reference: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="frostline-bench-") as scratch:
        for number in range(asked.rounds):
            folder = Path(scratch) / str(number)
            began = time.perf_counter()
            swept = sweep(folder / "sweep", seed=number, target=0.02, least=10, most=60)
            sweep_s = time.perf_counter() - began
            began = time.perf_counter()
            scripted, extra_s = script(folder / "script", swept)
            script_s = time.perf_counter() - began + extra_s
            pairs = round(33 * max(1.0, script_s / sweep_s - 0.5) * 1.5)
            began = time.perf_counter()
            longer = sweep(folder / "long", seed=number, target=0.001, least=pairs, most=pairs)
            long_s = time.perf_counter() - began
            if not reference:
                reference = {
                    policy: referred(swept.frozen[policy], asked.reference_rounds)
                    for policy in POLICIES
                }
            times.append(script_s / sweep_s)
            further.append(script_s / (len(POLICIES) + 1) / swept.trial_s)
            wrongs.append(_wrong(scripted, reference) / _wrong(longer.found, reference))
            print(
                f"round {number + 1}: the script {script_s:.0f} s (error "
                f"{_wrong(scripted, reference):.2%}), the sweep {sweep_s:.0f} s (error "
                f"{_wrong(swept.found, reference):.2%}), a longer one {long_s:.0f} s (error "
                f"{_wrong(longer.found, reference):.2%})",
                flush=True,
            )
    record(
        [
            row_of(
                "the script's wall time / the sweep's, at equal precision", times, unit="x",
                aim=">= 3", command=COMMAND, note=f"{len(POLICIES)} configurations of the demo",
            ),
            row_of(
                "a process of the script / a trial, at equal precision", further, unit="x",
                aim=None, command=COMMAND, note="what a further configuration takes",
            ),
            row_of(
                "the script's error / the sweep's, at equal time", wrongs, unit="x",
                aim=">= 2", command=COMMAND, note="against a long interleaved run of `fit`",
            ),
        ]
    )  # fmt: skip
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep says of the policies.

    Attributes:
        found: speedups by policy.
        frozen: the layers that each freezes.
        trial_s: seconds that a trial of one of them takes on average.
    """

    found: dict[str, SpeedupEstimate]
    frozen: dict[str, tuple[str, ...]]
    trial_s: float


def sweep(out: Path, *, seed: int, target: float, least: int, most: int) -> Swept:
    """Run one, everything of it."""
    text = STUDY.format(
        seed=seed, policies=json.dumps(POLICIES), target=target, least=least, most=most
    )
    run_sweep(parse_study(text, path=HERE / "against-script.toml"), str(out))
    found: dict[str, SpeedupEstimate] = {}
    frozen: dict[str, tuple[str, ...]] = {}
    seconds: list[float] = []
    for row in open_sweep(str(out)).trial_rows():
        mine = [policy for policy in (row.policy, *row.aliases) if policy in POLICIES]
        if mine and row.speedup and row.speedup_low and row.speedup_high and row.duration_s:
            seconds.append(row.duration_s)
            for policy in mine:
                found[policy] = SpeedupEstimate(
                    speedup=row.speedup, low=row.speedup_low, high=row.speedup_high
                )
                frozen[policy] = tuple(row.frozen_layers)
    return Swept(found=found, frozen=frozen, trial_s=statistics.mean(seconds))


def script(out: Path, swept: Swept) -> tuple[dict[str, SpeedupEstimate], float]:
    """Speedups by policy; seconds that its steps would take more, or less, at equal precision."""
    baseline = _run(out / "baseline", ())
    found: dict[str, SpeedupEstimate] = {}
    extra_s = 0.0
    for policy, layers in swept.frozen.items():
        seconds = _run(out / str(len(found)), layers)
        found[policy] = estimate(_ratios(baseline, seconds))
        factor = (found[policy].half_width / swept.found[policy].half_width) ** 2
        extra_s += (factor - 1) * sum(seconds)
    return found, extra_s


def _run(logs: Path, layers: Sequence[str]) -> list[float]:
    return run_script(logs, layers, builder=BUILDER, kwargs={}, batch=BATCH, steps=STEPS)


def run_script(
    logs: Path, layers: Sequence[str], *, builder: str, kwargs: Mapping[str, object], batch: int,
    steps: int,
) -> list[float]:  # fmt: skip
    """Seconds of each step, by the script in a new process, which sees no GPU."""
    done = subprocess.run(
        [sys.executable, str(HERE / "script.py"), builder, json.dumps(dict(kwargs)),
         json.dumps(list(layers)), "--batch", str(batch), "--steps", str(steps),
         "--logs", str(logs)],
        check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    answer = next(line for line in done.stdout.splitlines() if line.startswith("ANSWER "))
    seconds: list[float] = json.loads(answer.removeprefix("ANSWER "))["seconds"]
    return seconds


def _ratios(baseline: list[float], frozen: list[float]) -> list[float]:
    """Blocks of about as long as a sweep's, the first with the first."""
    length = max(1, round(BLOCK_S / statistics.median(baseline)))

    def blocks(seconds: list[float]) -> list[float]:
        return [
            statistics.mean(seconds[at : at + length])
            for at in range(0, len(seconds) - length + 1, length)
        ]

    return [base / own for base, own in zip(blocks(baseline), blocks(frozen), strict=False)]


def referred(layers: Sequence[str], rounds: int) -> float:
    """The reference's speedup of a configuration, in a process of its own."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_referred, tuple(layers), rounds).result()


def _referred(layers: Sequence[str], rounds: int) -> float:
    import numpy as np

    from frostline import models

    rng = np.random.default_rng(0)
    x = rng.random((BATCH, 24, 24, 3), dtype=np.float32)
    y = np.eye(10, dtype=np.float32)[rng.integers(0, 10, BATCH)]

    def freeze(model: object) -> None:
        for name in layers:
            model.get_layer(name).trainable = False  # type: ignore[attr-defined]
        model.compile(optimizer=model.optimizer.__class__(), loss=model.loss)  # type: ignore[attr-defined]

    return fit_speedup(models.small_convnet, freeze, (x, y), steps=30, rounds=rounds).speedup


def _wrong(found: dict[str, SpeedupEstimate], reference: dict[str, float]) -> float:
    return statistics.mean(
        abs(math.log(found[policy].speedup / true)) for policy, true in reference.items()
    )


if __name__ == "__main__":
    sys.exit(main())
