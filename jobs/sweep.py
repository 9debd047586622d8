"""The main job: run a study on the cluster this is submitted to, or on this machine.

ray job submit --working-dir . -- python -m jobs.sweep STUDY.toml --out s3://BUCKET/PREFIX
python -m jobs.sweep studies/demo.toml --out demo-out
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console

from frostline.analyse import summarise
from frostline.cli.progress import SweepProgress
from frostline.cli.results import result
from frostline.errors import FrostlineError
from frostline.reporting.make import make_report_apart
from frostline.reporting.up_to_date import current_report, mark
from frostline.schedule.ray.metrics import MeteredListener
from frostline.store.sweep import open_sweep
from frostline.study.study import load_study
from frostline.sweep.run import run_sweep


def report_of(out: str) -> str:
    """Where the report is, or why there is none yet: the sweep itself is done either way."""
    try:
        sweep = open_sweep(out)
        if page := current_report(sweep):
            return page
        page = make_report_apart(out)
        mark(sweep)
    except FrostlineError as error:
        return f"{error}; `python -m jobs.report {out}` tries again"
    return page


def main() -> int:
    """Run the study; 0: every trial is ok, 1: some failed, 2: wrong use, 130: interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="the study file")
    parser.add_argument("--out", required=True, help="folder or URI for the results")
    parser.add_argument("--address", help="a Ray cluster; default: the one this job runs on")
    asked = parser.parse_args()
    address = asked.address or ("auto" if "RAY_ADDRESS" in os.environ else None)
    console = Console(highlight=False)
    try:
        study = load_study(asked.study)
        with SweepProgress(console) as progress:
            listener = MeteredListener(progress, study=study.name) if address else progress
            done = run_sweep(study, asked.out, address=address, listener=listener)
        console.print(result(summarise(open_sweep(asked.out).trial_rows())))
        console.print(f"Report: {report_of(asked.out)}", soft_wrap=True)
    except FrostlineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; run the same command again to resume", file=sys.stderr)
        return 130
    return done.exit_code


if __name__ == "__main__":
    sys.exit(main())
