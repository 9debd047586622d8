"""What a trial costs beside its measurement: `python bench/overhead.py [--rounds N] [--many N]`.

**Side by side.** On two slots of one embedded Ray, in rounds, in random order within each, on fresh
folders of one disk:

- *frostline*: the program's own path. The driver hands chunks of trials to leases (streaming Ray
  tasks); a lease starts a measuring process, here one that answers at once (`noop_process`), sends
  it each trial and takes its answer, encodes the tables, publishes them together with the trial's
  log and TensorBoard's event file, and reports seven stages and the outcome to the driver. The
  start of measuring processes is part of it.
- *bare tasks*: one Ray task a trial, as a user would write who needs none of that. The answer is
  made in the task; it encodes the same rows of the same tables with the same encoder and publishes
  them with the same atomic, flushed writes, and writes nothing else.
- *Ray Tune*: the same function as the bare task's, one fresh actor a trial, no reporting.

Limits: frostline takes at most 1.3 times as long as bare tasks, and a trial of it at most a fifth
of a trial of Ray Tune.

**Many.** `run_sweep` on as many no-op trials as asked for, 10,000 by default, in `many_trials`.
Limits: the driver grows by less than 300 MB, and a trial at the end (of the window from 88% to 98%)
costs at most 1.2 times one at the start (2% to 12%). `--many 0` leaves it out, as `--rounds 0` does
the first part.

Exit code 1 when a limit is not kept.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), str(HERE.parent)])  # for Ray's workers

import ray  # noqa: E402
from many_trials import many  # noqa: E402
from noop import facts, study, write_trial  # noqa: E402
from results import record, row_of  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from frostline.plan.trials import TrialPlan, plan_trials  # noqa: E402
from frostline.schedule.chunks import chunks_of  # noqa: E402
from frostline.schedule.driver import Driver  # noqa: E402
from frostline.schedule.lease_spec import LeaseSpec, Limits, Resources  # noqa: E402
from frostline.schedule.listener import SilentListener  # noqa: E402
from frostline.schedule.ray.executor import RayExecutor  # noqa: E402
from frostline.store.address import Address  # noqa: E402
from frostline.store.outdir import OutDir  # noqa: E402
from frostline.trial import Trial  # noqa: E402

MOST_BARE = 1.3
LEAST_TUNE = 5.0
SLOTS = 2


def main() -> int:
    """Run, print, and say whether the limits are kept."""
    asked = _arguments()
    console = Console(width=110)
    kept = True
    with tempfile.TemporaryDirectory(prefix="frostline-bench-", dir=asked.scratch) as scratch:
        if asked.rounds:
            kept = side_by_side(asked, Path(scratch), console)
        if asked.many:
            kept = many(asked.many, Path(scratch) / "many", _cpus(), console) and kept
    return 0 if kept else 1


def side_by_side(asked: argparse.Namespace, scratch: Path, console: Console) -> bool:
    """The rounds; True when both limits are kept by the median."""
    cpus = _cpus()
    plan = plan_trials(study(asked.trials, cpus=cpus), {"net": facts()})
    resources = Resources(gpus=0, cpus=cpus)
    each: dict[str, list[float]] = {"frostline": [], "bare tasks": [], "ray tune": []}
    with RayExecutor(resources) as executor:
        if executor.slots != SLOTS:
            raise SystemExit(f"{executor.slots} slots instead of {SLOTS}: run it on {SLOTS} cores")
        sides: dict[str, tuple[int, Callable[[Path, int], None]]] = {
            "frostline": (asked.trials, lambda out, _n: frostline(executor, plan, resources, out)),
            "bare tasks": (asked.trials, lambda out, n: bare(plan.trials[:n], cpus, out)),
        }
        if asked.tune_trials:
            count = asked.tune_trials
            sides["ray tune"] = (count, lambda out, n: tuned(plan.trials[:n], cpus, out))
        for number in range(-1, asked.rounds):  # the first one starts Ray's workers
            for name in random.sample(sorted(sides), len(sides)):
                count, run = sides[name]
                if number < 0:
                    count = min(count, 2 * SLOTS)
                    if name == "frostline":
                        continue
                out = scratch / f"{name} {number}"
                began = time.perf_counter()
                run(out, count)
                if number >= 0:
                    each[name].append((time.perf_counter() - began) / count)
                found = len(OutDir.open(str(out), create=False).commits())
                if found != count:
                    raise SystemExit(f"{name}: {found} trials committed instead of {count}")
    return _shown(each, asked, console)


def frostline(executor: RayExecutor, plan: TrialPlan, resources: Resources, out: Path) -> None:
    """The program's scheduling and storing, from the first lease to the last commit."""
    store = OutDir.open(str(out), create=True)
    asked = study(len(plan.trials), cpus=resources.cpus)
    limits = Limits(trial_timeout_s=60.0, max_attempts=3)
    known = facts()

    def spec(trials: tuple[Trial, ...]) -> LeaseSpec:
        return LeaseSpec(
            out=Address.parse(out), trials=trials, facts=known, measure=asked.measure_spec(),
            resources=resources, limits=limits, process_module="noop_process",
        )  # fmt: skip

    driver = Driver(
        executor=executor, store=store, spec_of=spec, limits=limits, listener=SilentListener()
    )
    driver.run(
        chunks_of(plan.groups, done=(), slots=executor.slots, most=limits.trials_per_process)
    )


def bare(trials: tuple[Trial, ...], cpus: int, out: Path) -> None:
    """One task a trial."""
    OutDir.open(str(out), create=True)
    known = ray.put(facts())
    task = ray.remote(num_cpus=cpus, max_retries=0)(write_trial)
    ray.get([task.remote(trial, known, str(out)) for trial in trials])


def tuned(trials: tuple[Trial, ...], cpus: int, out: Path) -> None:
    """One fresh actor of Ray Tune a trial."""
    from ray import tune

    OutDir.open(str(out), create=True)
    known, listed = ray.put(facts()), ray.put(trials)

    def trainable(config: dict[str, int]) -> None:
        write_trial(ray.get(listed)[config["number"]], ray.get(known), str(out))

    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": cpus}),
        param_space={"number": tune.grid_search(list(range(len(trials))))},
        tune_config=tune.TuneConfig(reuse_actors=False),
        run_config=tune.RunConfig(storage_path=str(out.with_suffix(".tune")), verbose=0),
    )
    tuner.fit()


def _shown(each: dict[str, list[float]], asked: argparse.Namespace, console: Console) -> bool:
    table = Table(title="Time per no-op trial, two slots", box=None, pad_edge=False)
    for column in ("", "trials a round", "median ms", "least", "most"):
        table.add_column(column, justify="left" if not column else "right")
    for name, seconds in each.items():
        if seconds:
            count = asked.tune_trials if name == "ray tune" else asked.trials
            low, middle, high = (1e3 * value for value in _spread(seconds))
            table.add_row(name, str(count), f"{middle:.1f}", f"{low:.1f}", f"{high:.1f}")
    console.print(table)
    ours, command = each["frostline"], "python bench/overhead.py --many 0"
    rows = [
        row_of(
            "scheduling and storing a trial / a bare Ray task that stores the same",
            [a / b for a, b in zip(ours, each["bare tasks"], strict=True)], unit="x",
            aim=f"<= {MOST_BARE:g}", command=command,
        )
    ]  # fmt: skip
    if each["ray tune"]:
        rows.append(
            row_of(
                "a trial of Ray Tune that stores the same / scheduling and storing a trial",
                [a / b for a, b in zip(each["ray tune"], ours, strict=True)], unit="x",
                aim=f">= {LEAST_TUNE:g}", command=command,
            )
        )  # fmt: skip
    record(rows)
    return all(row.met for row in rows)


def _spread(values: list[float]) -> tuple[float, float, float]:
    return min(values), statistics.median(values), max(values)


def _cpus() -> int:
    """Cores a trial, such that there are two slots."""
    return max(1, len(os.sched_getaffinity(0)) // SLOTS)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=400, help="a round, but for Ray Tune")
    parser.add_argument("--tune-trials", type=int, default=8, help="a round; 0: without Ray Tune")
    parser.add_argument("--many", type=int, default=10_000, help="trials of the second part")
    parser.add_argument("--scratch", type=Path, help="folder for the results; default: TMPDIR")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
