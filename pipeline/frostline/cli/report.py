"""`frostline report`: the page and its figures, and the summary in the terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from frostline.cli.console import out
from frostline.cli.run_options import Epochs, Examples, Price, Watts, run_asked


def report(
    sweep: Annotated[str, typer.Argument(metavar="OUT", help="A sweep's folder or URI.")],
    where: Annotated[
        str | None,
        typer.Option("--out", help="Folder or URI for the report; default: report in OUT."),
    ] = None,
    examples: Examples = None,
    epochs: Epochs = None,
    price: Price = None,
    watts: Watts = None,
) -> None:
    """Write the report, index.html and its figures; show the summary."""
    from frostline.analyse import summarise
    from frostline.analyse.stored_run import published_of, run_of
    from frostline.cli.results import result
    from frostline.reporting.make import report as written
    from frostline.store.sweep import open_sweep

    console = out()
    asked = run_asked(examples, epochs, price, watts)
    opened = open_sweep(sweep)
    run = run_of(opened, asked)
    summary = summarise(opened.trial_rows())
    console.print(result(summary, run, published_of(opened)))
    with console.status("drawing the report"):
        page = written(opened, summary=summary, out=where, run=run)
    console.print(f"\nReport: {page}", soft_wrap=True)
