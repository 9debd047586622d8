"""`frostline explain`: where a trial's time went, and why it is or is not faster."""

from __future__ import annotations

from typing import Annotated

import typer

from frostline.cli.console import out, print_json


def explain(
    sweep: Annotated[str, typer.Argument(metavar="OUT", help="A sweep's folder or URI.")],
    trial: Annotated[
        str,
        typer.Argument(metavar="TRIAL", help="Its id, the start of its id, or its policy."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say where a trial's time went, and why it is or is not faster."""
    from frostline.explanation import explain as explanation_of
    from frostline.explanation.document import to_json
    from frostline.explanation.terminal import rendered

    found = explanation_of(sweep, trial)
    if as_json:
        print_json(to_json(found))
    else:
        out().print(rendered(found))
