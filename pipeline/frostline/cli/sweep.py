"""`frostline sweep`: runs a study, shows its progress, ends with the result and the report."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from frostline.cli.console import err, out

if TYPE_CHECKING:
    from frostline.schedule.listener import SweepListener
    from frostline.store.address import Address
    from frostline.sweep.result import SweepResult


def sweep(
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")],
    where: Annotated[
        str, typer.Option("--out", help="Folder or URI for the results; an earlier one resumes.")
    ],
    address: Annotated[
        str | None, typer.Option(help="A Ray cluster to join; default: this machine alone.")
    ] = None,
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
        _conclude(out_at, began, done)
    except KeyboardInterrupt:
        err().print("Interrupted; what is finished is kept, run the same command again to resume.")
        raise
    if done.exit_code:
        raise typer.Exit(done.exit_code)


def _metered(progress: SweepListener, study: str) -> SweepListener:
    """On a cluster, Prometheus hears what the progress display hears."""
    from frostline.schedule.ray.metrics import MeteredListener

    return MeteredListener(progress, study=study)


def _conclude(where: Address, began: datetime, done: SweepResult) -> None:
    """Print the result and write the report, unless the report is up to date."""
    from frostline.analyse import summarise, time_split
    from frostline.analyse.stored_run import published_of, run_of
    from frostline.cli.results import device_words, result, time_words
    from frostline.errors import FrostlineError
    from frostline.reporting.make import make_report_apart
    from frostline.reporting.up_to_date import current_report, mark
    from frostline.store.sweep import open_sweep

    console = out()
    opened = open_sweep(where)
    rows = opened.trial_rows()
    console.print(result(summarise(rows), run_of(opened), published_of(opened)))
    fresh = [row for row in rows if row.started_at >= began]
    if fresh:
        split = time_split(fresh, done.wall_s, openings=done.seconds)
        console.print(f"\n{len(fresh)} trials in {time_words(split)}")
    if measured := device_words(rows):
        console.print(Text(measured), soft_wrap=True)
    console.print(f"Results: {opened.out.files.shown}", soft_wrap=True)
    try:
        page = current_report(opened) if done.idle else None
        if page is None:
            with err().status("drawing the report"):
                page = make_report_apart(where)
            mark(opened)
    except FrostlineError as error:
        again = f"frostline report {shlex.quote(where.command_form)}"
        err().print(Text(f"{error}; `{again}` tries again."), soft_wrap=True)
    else:
        console.print(f"Report:  {page}", soft_wrap=True)
