"""A sweep's report in one call, for the command line and for notebooks."""

from __future__ import annotations

from pipeline.analyse import summarise
from pipeline.errors import SweepError
from pipeline.report.content import ReportContent, report_content
from pipeline.report.evidence import gather
from pipeline.report.page import page
from pipeline.report.render import pictures
from pipeline.report.shown import quota, shown_trials
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
    content = content_of(sweep)
    return write_report(page(content), pictures(content.sections), sweep.out)


def content_of(sweep: Sweep) -> ReportContent:
    """Everything that the report of a sweep says.

    Raises:
        SweepError: no trial is committed yet.
        StorageError: OUT cannot be read.
    """
    rows = sweep.trial_rows()
    shown_as = sweep.out.files.shown
    if not rows:
        raise SweepError(f"{shown_as}: no trial is committed yet; run the sweep first")
    summary = summarise(rows)
    count = quota(summary)
    shown = {number: shown_trials(group, count) for number, group in enumerate(summary.groups)}
    evidence = gather(sweep, summary, shown)
    return report_content(summary, evidence, shown, sweep.manifest, shown_as)
