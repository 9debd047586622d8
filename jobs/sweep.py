"""The main job: run a study on the cluster this is submitted to, or on this machine.

ray job submit --working-dir . -- python -m jobs.sweep STUDY.toml --out s3://BUCKET/PREFIX
python -m jobs.sweep studies/demo.toml --out demo-out
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pipeline.errors import FrostlineError
from pipeline.run import run_sweep
from pipeline.schedule.events import TrialOutcome
from pipeline.study import load_study


class Lines:
    """A `pipeline.schedule.listener.SweepListener` for a job's log: a line for whatever happens."""

    def on_notice(self, text: str) -> None:  # noqa: D102
        print(f"note: {text}", flush=True)

    def on_planned(self, labels: dict[str, str], finished: int) -> None:  # noqa: D102
        self._labels = labels
        print(f"{len(labels)} trials to run, {finished} are there already", flush=True)

    def on_stage(self, trial_id: str, stage: str) -> None:  # noqa: D102
        if stage == "start":
            print(f"{self._labels[trial_id]} ...", flush=True)

    def on_outcome(self, outcome: TrialOutcome) -> None:  # noqa: D102
        found = f"{outcome.speedup:.3f}x" if outcome.speedup else outcome.error_message
        print(f"{self._labels[outcome.trial_id]}: {outcome.status} {found}", flush=True)


def main() -> int:
    """Run the study; 0: every trial is ok, 1: some failed, 2: wrong use, 130: interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="the study file")
    parser.add_argument("--out", required=True, help="folder or URI for the results")
    parser.add_argument("--address", help="a Ray cluster; default: the one this job runs on")
    asked = parser.parse_args()
    address = asked.address or ("auto" if "RAY_ADDRESS" in os.environ else None)
    try:
        result = run_sweep(load_study(asked.study), asked.out, address=address, listener=Lines())
    except FrostlineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; run the same command again to resume", file=sys.stderr)
        return 130
    print(f"{result.ok} of {result.planned} trials are ok, {result.wall_s:.0f} s: {asked.out}")
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main())
