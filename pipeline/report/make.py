"""A sweep's report in one call, for the command line and for notebooks.

`python -m pipeline.report.make OUT` writes it and prints where it is; a sweep draws its report in
such a process of its own, so that drawing, which takes a browser's script engine, costs the driver
no memory.
"""

from __future__ import annotations

import subprocess
import sys

from pipeline.analyse import summarise
from pipeline.errors import FrostlineError, SweepError
from pipeline.report.content import report_content
from pipeline.report.render import render
from pipeline.report.write import write_report
from pipeline.sweep_view import Sweep, open_sweep


def make_report(sweep: Sweep) -> str:
    """Write the report of a sweep below its OUT.

    Args:
        sweep: as `open_sweep` gives it.

    Returns:
        Where the page is.

    Raises:
        SweepError: no trial is committed yet.
        StorageError: OUT cannot be read or written.
    """
    rows = sweep.trial_rows()
    if not rows:
        raise SweepError(f"{sweep.out.files.shown}: no trial is committed yet; run the sweep first")
    return write_report(render(report_content(summarise(rows), sweep.manifest)), sweep.out)


def make_report_apart(out: str) -> str:
    """Write the report of a sweep in a child process.

    Args:
        out: the output folder or URI.

    Returns:
        Where the page is.

    Raises:
        FrostlineError: it could not be written; carries the child's message.
    """
    child = subprocess.run(
        [sys.executable, "-m", "pipeline.report.make", out],
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode:
        said = child.stderr.strip().splitlines() or ["it ended without a word"]
        raise FrostlineError(f"the report could not be drawn: {said[-1]}")
    return child.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    try:
        print(make_report(open_sweep(sys.argv[1])))
    except FrostlineError as error:
        sys.exit(str(error))
