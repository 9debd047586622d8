"""`frostline explain`: where a trial's time went, and why it is or is not faster."""

from __future__ import annotations

from typing import Annotated

import typer

from frostline.cli.console import out
from frostline.cli.documents import AsJson, print_document


def explain(
    sweep: Annotated[str, typer.Argument(metavar="OUT", help="A sweep's folder or URI.")],
    trial: Annotated[
        str,
        typer.Argument(
            metavar="TRIAL", help="Its id, the start of its id, its policy, or MODEL/POLICY."
        ),
    ],
    model: Annotated[str | None, typer.Option(help="Only trials of this model.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say where a trial's time went, and why it is or is not faster."""
    from frostline.explanation import explain as explanation_of
    from frostline.explanation.document import document
    from frostline.explanation.terminal import rendered

    found = explanation_of(sweep, trial, model=model)
    if as_json:
        print_document("explain", document(found))
    else:
        out().print(rendered(found))
