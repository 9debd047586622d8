"""`frostline sweep`: runs a study, shows its progress, ends with the result and the report."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from frostline.cli.console import complain, err, out
from frostline.cli.documents import AsJson, print_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frostline.analyse import Summary
    from frostline.recommendation.first_answer import FirstAnswer
    from frostline.schedule.listener import SweepListener
    from frostline.store.address import Address
    from frostline.store.sweep import Sweep
    from frostline.sweep.result import SweepResult


def sweep(
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")],
    where: Annotated[
        str, typer.Option("--out", help="Folder or URI for the results; an earlier one resumes.")
    ],
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster to join; default: this machine alone.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a study; run again on the same OUT, it resumes."""
    from frostline.cli.progress import SweepProgress
    from frostline.store.address import Address
    from frostline.study.study import load_study
    from frostline.sweep.run import run_sweep

    asked = load_study(study)
    out_at = Address.parse(where)
    began = datetime.now(UTC)
    try:
        with SweepProgress(err()) as progress:
            listener = _metered(progress, asked.name) if address else progress
            done = run_sweep(asked, out_at, address=address, listener=listener)
        _conclude(out_at, began, done, as_json=as_json)
    except KeyboardInterrupt:
        err().print("Interrupted; what is finished is kept, run the same command again to resume.")
        raise
    if done.exit_code:
        raise typer.Exit(done.exit_code)


def _metered(progress: SweepListener, study: str) -> SweepListener:
    """On a cluster, Prometheus hears what the progress display hears."""
    from frostline.schedule.ray.metrics import MeteredListener

    return MeteredListener(progress, study=study)


def _conclude(where: Address, began: datetime, done: SweepResult, *, as_json: bool) -> None:
    """Print the result and write the report, unless the report is up to date."""
    from frostline.analyse import summarise
    from frostline.recommendation.first_answer import first_answers
    from frostline.store.sweep import open_sweep

    opened = open_sweep(where)
    summary = summarise(opened.trial_rows())
    with err().status("looking for what to freeze"):
        firsts = first_answers(opened, summary)
    if not as_json:
        _print(opened, summary, firsts, began, done)
    page = _drawn(opened, where, idle=done.idle)
    if as_json:
        from frostline.cli.results import document

        counts = {"planned": done.planned, "ok": done.ok, "failed": done.failed}
        timed = {"wall_s": done.wall_s, "exit_code": done.exit_code, "report": page}
        shown = {"out": opened.out.files.shown}
        print_document("sweep", {**shown, **counts, **timed, **document(summary, firsts)})
    elif page is not None:
        out().print(f"Report:  {page}", soft_wrap=True)


def _print(
    opened: Sweep,
    summary: Summary,
    firsts: Sequence[FirstAnswer | None],
    began: datetime,
    done: SweepResult,
) -> None:
    from frostline.analyse import time_split
    from frostline.analyse.stored_run import published_of, run_of
    from frostline.cli.results import device_words, result, time_words

    console = out()
    rows = opened.trial_rows()
    where = opened.out.files.shown
    console.print(result(summary, run_of(opened), firsts, published_of(opened), shown_out=where))
    fresh = [row for row in rows if row.started_at >= began]
    if fresh:
        split = time_split(fresh, done.wall_s, openings=done.seconds)
        console.print(f"\n{len(fresh)} trials in {time_words(split)}")
    if measured := device_words(rows):
        console.print(Text(measured), soft_wrap=True)
    console.print(f"Results: {where}", soft_wrap=True)


def _drawn(opened: Sweep, where: Address, *, idle: bool) -> str | None:
    """Where the report is; None where it cannot be drawn, which one sentence says."""
    from frostline.errors import FrostlineError

    try:
        from frostline.reporting.make import make_report_apart
        from frostline.reporting.up_to_date import current_report, mark

        page = current_report(opened) if idle else None
        if page is None:
            with err().status("drawing the report"):
                page = make_report_apart(where)
            mark(opened)
    except (FrostlineError, ImportError) as error:
        missing = isinstance(error, ImportError)
        why = f"the report could not be drawn: {error}" if missing else str(error)
        again = f"frostline report {shlex.quote(where.command_form)}"
        complain(f"{why}; every trial is kept, and `{again}` tries again")
        return None
    return page
