"""How often is a copy of the baseline told from the baseline? `python bench/noise.py`

Controls, one after the other, as a sweep measures them: a copy of the model is built, traced and
timed in pairs with the baseline until the stopping rule is content. Their true speedup is 1, so of
their 95% intervals 95% should contain 1. First on the machine as it is, then with a competing load:
a process that keeps one core busy half of the time, in spells of 0.2 to 2 s.

`--keep FILE` keeps what was measured, a line of JSON for each control: the number of its baseline,
speedup and interval, and of every pair the steps of both blocks and their ratio.

Recorded: the share of intervals that contain 1, with the 95% interval of a share (Wilson, 1927),
and the median and 95th percentile of |speedup - 1|.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from results import Row, record
from scipy.stats import binomtest

from frostline.measure.client import MeasureProcess
from frostline.measure.inspect_client import inspect_models
from frostline.measure.messages import Failed, Measured, OpenGroup, RunTrial
from frostline.plan.trials import plan_trials
from frostline.study.study import parse_study
from frostline.trial import Trial

STUDY = """
name = "noise"
seed = {seed}
[[model]]
name = "mlp"
builder = "frostline.models:wide_mlp"
kwargs = {{ width = 256 }}
[train]
batch_size = [32]
jit_compile = [false]
[freeze]
policies = ["none"]
[measure]
target_ci = 0.02
min_pairs = 10
max_pairs = 33
profile_steps = 3
[resources]
gpus_per_trial = 0
cpus_per_trial = {cores}
"""
_LOAD = """
import random, time
random.seed(0)
while True:
    end = time.monotonic() + random.uniform(0.2, 2)
    while time.monotonic() < end:
        pass
    time.sleep(random.uniform(0.2, 2))
"""
_PER_GROUP = 25
"""A baseline is opened again after so many, as leases do."""


def main() -> int:
    """Measure, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--controls", type=int, default=500, help="on the machine as it is")
    parser.add_argument("--loaded", type=int, default=100, help="with a competing load")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="add what was measured to this file")
    asked = parser.parse_args()
    rows = []
    if asked.controls:
        rows += _rows("as it is", list(controls(asked.controls, asked.cores, asked.keep)))
    if asked.loaded:
        with _load():
            found = list(controls(asked.loaded, asked.cores, asked.keep))
        rows += _rows("with a competing load", found)
    record(rows)
    return 0


def controls(count: int, cores: int, keep: Path | None = None) -> Iterator[Measured]:
    """Measure so many controls, in measuring processes like a sweep's, and keep them in a file."""
    study = parse_study(STUDY.format(seed=0, cores=cores), path=Path(__file__))
    (model,) = study.model_specs()
    setting = study.settings()[0]
    facts = inspect_models([model], setting, seed=0, deadline_s=600)[model.name]
    if isinstance(facts, Failed):
        raise SystemExit(f"the model cannot be inspected: {facts.message}")
    plan = plan_trials(study, {model.name: facts})
    control = next(trial for trial in plan.trials if trial.is_control)
    done = 0
    with tempfile.TemporaryDirectory(prefix="frostline-noise-") as scratch:
        log = str(Path(scratch) / "log")
        while done < count:
            with _process(cores, Path(log)) as process:
                opened = OpenGroup(
                    model=control.model, setting=control.setting,
                    measure=study.measure_spec(), log_path=log,
                )  # fmt: skip
                process.reply_to(opened, deadline_s=600)
                group = done // _PER_GROUP
                for _ in range(min(_PER_GROUP, count - done)):
                    measured = _measured(process, control, Path(scratch), log, seed=done)
                    if keep is not None:
                        with keep.open("a") as lines:
                            lines.write(json.dumps(_kept(group, measured)) + "\n")
                    yield measured
                    done += 1
                    print(f"\r{done} of {count}", end="", file=sys.stderr, flush=True)


def _measured(
    process: MeasureProcess, control: Trial, scratch: Path, log: str, *, seed: int
) -> Measured:
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        trial = replace(control, trial_id=f"{control.trial_id}-{seed}")
        asked = RunTrial(trial=trial, scratch=folder, log_path=log)
        reply = process.reply_to(asked, deadline_s=600)
    if not isinstance(reply, Measured):
        raise SystemExit(f"a control failed: {reply}")
    return reply


def _kept(group: int, measured: Measured) -> dict[str, Any]:
    """A control as `--keep` keeps it."""
    counted = [each for each in measured.samples if not each.warmup]
    base = {each.pair: each for each in counted if each.arm == "baseline"}
    own = {each.pair: each for each in counted if each.arm == "trial"}
    return {
        "baseline": group,
        "speedup": measured.speedup,
        "low": measured.speedup_low,
        "high": measured.speedup_high,
        "baseline_first": [base[pair].position == 0 for pair in sorted(base)],
        "baseline_steps": [base[pair].n_steps for pair in sorted(base)],
        "trial_steps": [own[pair].n_steps for pair in sorted(base)],
        "ratio": [base[pair].step_ns / own[pair].step_ns for pair in sorted(base)],
    }


@contextmanager
def _process(cores: int, log: Path) -> Iterator[MeasureProcess]:
    process = MeasureProcess(cores=tuple(range(cores)), gpu_ids="", log_path=log)
    try:
        yield process
    finally:
        process.close()


@contextmanager
def _load() -> Iterator[None]:
    load = subprocess.Popen([sys.executable, "-c", _LOAD])
    try:
        yield
    finally:
        load.kill()
        load.wait()


def _rows(words: str, found: list[Measured]) -> list[Row]:
    command = "python bench/noise.py"
    holds = sum(each.speedup_low <= 1.0 <= each.speedup_high for each in found)
    of_share = binomtest(holds, len(found)).proportion_ci(method="wilson")
    away = sorted(abs(each.speedup - 1.0) * 100 for each in found)
    share = Row(
        name=f"95% intervals of controls that contain 1, {words}",
        value=100 * holds / len(found), low=100 * float(of_share.low),
        high=100 * float(of_share.high), n=len(found),
        unit="%", aim=None, command=command, note="93 to 97% wanted; spread: 95% of the share",
    )  # fmt: skip
    off = Row(
        name=f"how far a control is off, {words}",
        value=statistics.median(away), low=away[0], high=away[int(0.95 * (len(away) - 1))],
        n=len(found), unit="%", aim=None, command=command,
        note="spread: least and 95th percentile of abs(speedup - 1)",
    )  # fmt: skip
    return [share, off]


if __name__ == "__main__":
    sys.exit(main())
