"""`frostline export`: a flat data set, or runs in a tracking store."""

from __future__ import annotations

from typing import Annotated

import typer

from frostline.cli.console import out
from frostline.cli.documents import AsJson, print_document


def export(
    sweep: Annotated[str, typer.Argument(metavar="OUT", help="A sweep's folder or URI.")],
    to: Annotated[
        str, typer.Option("--to", metavar="TARGET", help="parquet, csv, mlflow or wandb.")
    ],
    where: Annotated[
        str | None,
        typer.Option(
            "--out",
            help="Folder, URI, or MLflow's tracking URI; default: export/TARGET in OUT.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export the results: trials, layers and predictions, or one run for each trial."""
    from dataclasses import asdict

    from frostline.exporting import export as exported

    found = exported(sweep, to, out=where)
    if as_json:
        print_document("export", asdict(found))
        return
    console = out()
    what = "files" if to in ("parquet", "csv") else "runs"
    also = f", {found.there} were there already" if found.there else ""
    console.print(f"{found.written} {what} written to {found.where}{also}", soft_wrap=True)
    if found.next:
        console.print(f"next: {found.next}", soft_wrap=True)
