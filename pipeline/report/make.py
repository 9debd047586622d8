"""A sweep's report in one call, for the command line and for notebooks."""

from __future__ import annotations

from pipeline.analyse import summarise
from pipeline.errors import SweepError
from pipeline.report.content import report_content
from pipeline.report.render import render
from pipeline.report.write import write_report
from pipeline.sweep_view import Sweep


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
