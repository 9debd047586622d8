"""`frostline report`: the page and its figures, and the summary in the terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from frostline.cli.console import out


def report(
    sweep: Annotated[str, typer.Argument(metavar="OUT", help="A sweep's folder or URI.")],
    where: Annotated[
        str | None,
        typer.Option("--out", help="Folder or URI for the report; default: report in OUT."),
    ] = None,
) -> None:
    """Write the report, index.html and its figures; show the summary."""
    from frostline.analyse import summarise
    from frostline.cli.results import result
    from frostline.reporting.make import report as written
    from frostline.store.sweep import open_sweep

    console = out()
    opened = open_sweep(sweep)
    summary = summarise(opened.trial_rows())
    console.print(result(summary))
    with console.status("drawing the report"):
        page = written(opened, summary=summary, out=where)
    console.print(f"\nReport: {page}", soft_wrap=True)
