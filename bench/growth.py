"""How time and memory grow: `python bench/growth.py [WHAT ...]`

- `layers`: `frostline plan` of multilayer perceptrons with 8 to 500 layers;
- `trials`: the predictions at the end of a sweep, and the report, of 10 to 10,000 trials that
  measured nothing (`bench/noop.py`, `bench/big_sweep.py`);
- `events`: reading, attributing and tabulating traces of 10 thousand to 10 million events, written
  from a recorded step (`bench/long_traces.py`).

Each size runs in a process of its own, `--repeats` times; time is wall time, memory the most that
was resident in it or a child of it. Recorded: the exponent between the two largest sizes, that is
log(ratio) / log(ratio of sizes), where start-up costs matter least, and how long the predictions
and the report of the most trials take.
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
from collections.abc import Callable, Sequence
from pathlib import Path

from results import Row, record, row_of

HERE = Path(__file__).parent
LAYERS = (8, 50, 200, 500)
TRIALS = (10, 100, 1_000, 10_000)
EVENTS = (10_000, 100_000, 1_000_000, 10_000_000)
MOST = 1.1
COMMAND = "python bench/growth.py"

_CHILD = """
import resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
if done.returncode: sys.exit(done.stderr[-2000:])
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""
_STUDY = """
name = "growth"
seed = 0
[[model]]
name = "mlp"
builder = "frostline.models:mlp_sequential"
kwargs = {{ hidden = {hidden} }}
[train]
batch_size = [8]
[freeze]
policies = ["prefix:*/10"]
[resources]
gpus_per_trial = 0
cpus_per_trial = 1
"""
_PREDICT = """
import sys
from frostline import open_sweep
from frostline.prediction import write_predictions
write_predictions(open_sweep(sys.argv[1]))
"""


def main() -> int:
    """Measure what is asked for, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=["layers", "trials", "events"], default=[])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="folder for what is written; default: TMPDIR")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="frostline-growth-", dir=asked.scratch) as folder:
        scratch = Path(folder)
        for name in asked.what or ("layers", "trials", "events"):
            {"layers": layers, "trials": trials, "events": events}[name](scratch, asked.repeats)
    return 0


def layers(scratch: Path, repeats: int) -> None:
    """Planning, by the number of layers."""

    def command(size: int) -> list[str]:
        study = scratch / f"layers{size}.toml"
        study.write_text(_STUDY.format(hidden=json.dumps([16] * (size - 1))))
        return [sys.executable, "-m", "frostline", "plan", str(study)]

    _record("planning a model, by layers", LAYERS, command, repeats)


def trials(scratch: Path, repeats: int) -> None:
    """Predictions and report, by the number of trials."""
    from big_sweep import write

    def predictions(size: int) -> list[str]:
        out = scratch / f"noop{size}-{time.monotonic_ns()}"
        _noop_sweep(out, size)
        return [sys.executable, "-c", _PREDICT, str(out)]

    seconds = _record("predictions at the end, by trials", TRIALS, predictions, repeats)
    record(
        [
            row_of(
                f"predictions at the end of {TRIALS[-1]:,} trials", seconds, unit="s",
                aim="<= 15", command=f"{COMMAND} trials",
            )
        ]
    )  # fmt: skip

    def report(size: int) -> list[str]:
        out = scratch / f"big{size}"
        if not out.exists():
            write(out, trials=size, ops=200)
        return [sys.executable, "-m", "frostline", "report", str(out)]

    seconds = _record("the report, by trials", TRIALS, report, repeats)
    record(
        [
            row_of(
                f"the report of {TRIALS[-1]:,} trials", seconds, unit="s", aim=None,
                command=f"{COMMAND} trials",
            )
        ]
    )  # fmt: skip


def events(scratch: Path, repeats: int) -> None:
    """Attribution, by the number of events."""
    from long_traces import write_gpu_trace

    from frostline.trace.converter import TraceConverter

    recorded = scratch / "step.xplane.pb"
    subprocess.run(
        [sys.executable, str(HERE / "record_step.py"), str(recorded), str(EVENTS[0])], check=True
    )
    with TraceConverter() as converter:
        step = converter.convert(recorded)

    def command(size: int) -> list[str]:
        path = scratch / f"events{size}.xplane.pb"
        if not path.exists():
            write_gpu_trace(path, step, events=size)
        return [sys.executable, str(HERE / "read_trace.py"), str(path), str(scratch / "graph.json")]

    _record("reading and attributing a trace, by events", EVENTS, command, repeats)


def _record(
    name: str, sizes: Sequence[int], command: Callable[[int], list[str]], repeats: int
) -> list[float]:
    """Run every size in turn, so often, and record the exponents; seconds of the largest."""
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    memory: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(repeats):
        for size in sizes:
            asked = command(size)
            os.sync()  # what was written for it is no part of what it takes
            done = subprocess.run(
                [sys.executable, "-c", _CHILD, *asked], capture_output=True, text=True, cwd=HERE
            )
            if done.returncode:
                raise SystemExit(f"{name}, {size:,}: {done.stderr}")
            took, most = done.stdout.split()
            seconds[size].append(float(took))
            memory[size].append(float(most))
    for size in sizes:
        print(
            f"{name}: {size:,}: {statistics.median(seconds[size]):.2f} s, "
            f"{statistics.median(memory[size]) / 1e6:.0f} MB",
            flush=True,
        )
    record([_exponent(name, what, each, sizes) for what, each in
            (("time", seconds), ("memory", memory))])  # fmt: skip
    return seconds[sizes[-1]]


def _exponent(name: str, what: str, values: dict[int, list[float]], sizes: Sequence[int]) -> Row:
    """log(value ratio) / log(size ratio) of the two largest sizes, repeat by repeat."""
    small, large = sizes[-2:]
    found = [
        math.log(most / less) / math.log(large / small)
        for less, most in zip(values[small], values[large], strict=True)
    ]
    return row_of(
        f"growth of {what}: {name} ({small:,} to {large:,})", found, unit="exponent",
        aim=f"<= {MOST}", command=COMMAND,
    )  # fmt: skip


def _noop_sweep(out: Path, count: int) -> None:
    """A finished sweep of trials that measured nothing."""
    from noop import facts, study, write_trial

    from frostline.facts.model_facts import dump_facts, facts_path
    from frostline.plan.trials import plan_trials
    from frostline.store.outdir import OutDir

    asked, known = study(count, cpus=1), facts()
    store = OutDir.open(str(out), create=True)
    store.begin_run(asked.text, asked.digest, asked.name, {})
    store.write_text(facts_path("net"), dump_facts(known))
    for trial in plan_trials(asked, {"net": known}).trials:
        write_trial(trial, known, str(out))


if __name__ == "__main__":
    sys.exit(main())
