"""`frostline report`: the page and its figures, and the summary in the terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from frostline.cli.console import err, out
from frostline.cli.documents import AsJson, print_document
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
    as_json: AsJson = False,
) -> None:
    """Write the report, index.html and its figures; show the summary."""
    from frostline.analyse import summarise
    from frostline.analyse.stored_run import published_of, run_of
    from frostline.cli.results import document, result
    from frostline.recommendation.first_answer import first_answers
    from frostline.reporting.make import report as written
    from frostline.store.sweep import open_sweep

    console = out()
    asked = run_asked(examples, epochs, price, watts)
    opened = open_sweep(sweep)
    run = run_of(opened, asked)
    summary = summarise(opened.trial_rows())
    with err().status("looking for what to freeze"):
        firsts = first_answers(opened, summary)
    if not as_json:
        where_shown = opened.out.files.shown
        console.print(result(summary, run, firsts, published_of(opened), shown_out=where_shown))
    with err().status("drawing the report"):
        page = written(opened, summary=summary, out=where, run=run)
    if as_json:
        print_document("report", {"report": page, **document(summary, firsts)})
    else:
        console.print(f"\nReport: {page}", soft_wrap=True)
