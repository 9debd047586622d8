"""`frostline demo`: runs a ready study, to see what a sweep gives."""

from __future__ import annotations

from typing import Annotated

import typer

from frostline.cli.console import err
from frostline.cli.documents import AsJson
from frostline.cli.sweep import sweep


def demo(
    where: Annotated[
        str | None,
        typer.Option("--out", help="Folder for the results; default: NAME-out, here."),
    ] = None,
    name: Annotated[
        str, typer.Option("--study", metavar="NAME", help="Another of the ready studies.")
    ] = "demo",
    as_json: AsJson = False,
) -> None:
    """Run a ready study on this machine; the first takes a minute or two."""
    from frostline.ready_studies import ready_study

    study = ready_study(name)
    err().print(f"The study, to copy and change: {study}", soft_wrap=True, markup=False)
    sweep(study, where or f"{name}-out", None, as_json)
