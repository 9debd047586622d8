"""A sweep's report in one call, for the command line and for notebooks.

Run as a module it is a child process that is sent an address, writes the report and answers where
it is. A sweep draws its report in such a process, so that the script engine that draws takes no
memory of the driver, and a report that hangs has an end.
"""

from __future__ import annotations

import json
import sys
from os import PathLike

from frostline.analyse import Summary, summarise
from frostline.analyse.stored_run import published_of, run_of
from frostline.billing.run import Run
from frostline.child import Child, connect_to_parent
from frostline.errors import FrostlineError, SweepError, UsageError
from frostline.prediction import ScheduleCost, predict_schedule
from frostline.recommendation.first_answer import first_answers
from frostline.reporting.content import ReportContent, report_content
from frostline.reporting.evidence import gather
from frostline.reporting.page import page
from frostline.reporting.page_limits import quota, shown_trials
from frostline.reporting.render import DEADLINE_S, refuse_small_limit
from frostline.reporting.write import FOLDER, report_folder, write_report
from frostline.scratch import scratch_folder
from frostline.store.address import Address
from frostline.store.outdir import STUDY
from frostline.store.sweep import Sweep, as_sweep


def report(
    sweep: Sweep | str | PathLike[str],
    *,
    summary: Summary | None = None,
    out: str | PathLike[str] | None = None,
    run: Run | None = None,
) -> str:
    """Write the report of a sweep: one page, and its figures as SVG and PNG.

    Args:
        sweep: the sweep, or its path.
        summary: of its trials, where it is there already.
        out: folder or URI for the report; default: `report` in the sweep's OUT.
        run: a training run to make bills for; where it says nothing, `[run]` of the study does.

    Returns:
        Path or URI of the page.

    Raises:
        SweepError: no trial is committed yet.
        UsageError: `out` holds files that are no report's, or `ulimit -v` forbids to draw, or the
            run is not complete.
        StorageError: OUT cannot be read, or the report cannot be written.
    """
    sweep = as_sweep(sweep)
    refuse_small_limit()
    place, folder = (sweep.out, FOLDER) if out is None else (report_folder(out), "")
    content = content_of(sweep, summary, run)
    return write_report(page(content), content.sections, place, folder=folder)


def make_report_apart(out: Address) -> str:
    """Write the report of a sweep in a child process, and say where the page is.

    Raises:
        FrostlineError: it could not be written; with the child's message.
    """
    asked = json.dumps(out.reveal()).encode() + b"\n"
    with (
        scratch_folder(prefix="frostline-drawing-") as scratch,
        Child("frostline.reporting.make", log=scratch / "log") as child,
    ):
        try:
            answer = next(filter(None, child.ask(asked, deadline_s=DEADLINE_S)))
        except TimeoutError:
            said = f"its process did not answer within {DEADLINE_S:.0f} s"
            raise FrostlineError(f"the report could not be drawn: {said}") from None
        except EOFError as end:
            log = (scratch / "log").read_text(encoding="utf-8", errors="replace")
            said = ": ".join((f"its process {end}", *log.strip().splitlines()[-1:]))
            raise FrostlineError(f"the report could not be drawn: {said}") from None
        finally:
            child.kill()
    where, error = json.loads(answer)
    if error is not None:
        raise FrostlineError(f"the report could not be drawn: {error}")
    return str(where)


def content_of(
    sweep: Sweep, summary: Summary | None = None, run: Run | None = None
) -> ReportContent:
    """Everything that the report of a sweep says; `summary` is made here where it is None.

    `run` is as in `report`.

    Raises:
        SweepError: no trial is committed yet.
        UsageError: the run is not complete.
        StorageError: OUT cannot be read.
    """
    run = run_of(sweep, run)
    sweep.refuse_empty()
    shown_as = sweep.out.files.shown
    summary = summarise(sweep.trial_rows()) if summary is None else summary
    count = quota(summary)
    shown = {number: shown_trials(group, count) for number, group in enumerate(summary.groups)}
    evidence = gather(sweep, summary, shown)
    study = sweep.out.read_text(STUDY) or ""
    firsts = first_answers(sweep, summary, frontier=True)
    return report_content(
        summary,
        evidence,
        shown,
        sweep.manifest,
        shown_as,
        run,
        firsts,
        study,
        published_of(sweep),
        _schedules(sweep, run),
    )


def _schedules(sweep: Sweep, run: Run | None) -> tuple[ScheduleCost, ...]:
    """What the study's schedule takes; empty where it has none, or nothing can say it."""
    try:
        return predict_schedule(sweep, run=run)[0]
    except (UsageError, SweepError):
        return ()


def _serve() -> None:
    """Draw the report that is asked for."""
    answers = connect_to_parent()
    try:
        answer = [report(json.loads(sys.stdin.buffer.readline())), None]
    except FrostlineError as error:
        answer = [None, str(error)]
    answers.write(json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    _serve()
