"""`frostline compare`: two sweeps side by side, and a gate."""

from __future__ import annotations

from typing import Annotated

import typer

from frostline.cli.console import err, out
from frostline.cli.documents import AsJson, print_document
from frostline.errors import UsageError


def compare(
    sweep_a: Annotated[
        str, typer.Argument(metavar="OUT_A", help="The earlier sweep's folder or URI.")
    ],
    sweep_b: Annotated[str, typer.Argument(metavar="OUT_B", help="The later one's.")],
    gate: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="Exit 1 if a speedup got lower by more than this (3%), 3 if that cannot be told.",
        ),
    ] = None,
    gate_steps: Annotated[
        bool,
        typer.Option(
            "--gate-steps", help="Judge step times, too; both sweeps from one quiet device."
        ),
    ] = False,
    model: Annotated[str | None, typer.Option(help="Only this model of the studies.")] = None,
    page: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Write a page with both curves: a folder or URI."),
    ] = None,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, for $GITHUB_STEP_SUMMARY.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two sweeps: same, faster, slower, or cannot tell."""
    from frostline.comparison import compare as compared
    from frostline.comparison.document import document
    from frostline.comparison.markdown import to_markdown
    from frostline.comparison.terminal import rendered

    if as_markdown and as_json:
        raise UsageError("pass --markdown or --json, one of them")
    found = compared(sweep_a, sweep_b, gate=gate, gate_steps=gate_steps, model=model)
    if as_json:
        print_document("compare", document(found))
    elif as_markdown:
        typer.echo(to_markdown(found), nl=False)
    else:
        out().print(rendered(found))
    if page is not None:
        from frostline.reporting.comparison import report_comparison

        console = err() if as_json or as_markdown else out()
        console.print(f"\nPage: {report_comparison(found, page)}", soft_wrap=True)
    if found.exit_code:
        raise typer.Exit(found.exit_code)
