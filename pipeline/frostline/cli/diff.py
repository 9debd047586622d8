"""`frostline diff`: ops that vanished, shrank, grew or appeared between two trials."""

from __future__ import annotations

from typing import Annotated

import typer

from frostline.cli.console import out
from frostline.cli.documents import AsJson, print_document


def diff(
    sweep: Annotated[str, typer.Argument(metavar="OUT", help="A sweep's folder or URI.")],
    trial_a: Annotated[
        str,
        typer.Argument(
            metavar="TRIAL_A",
            help="Its id, the start of its id, its policy, MODEL/POLICY, or `baseline`.",
        ),
    ],
    trial_b: Annotated[str, typer.Argument(metavar="TRIAL_B", help="The other one.")],
    top: Annotated[int, typer.Option(min=0, help="Ops to list; 0: layers and passes only.")] = 20,
    profiled: Annotated[
        bool,
        typer.Option(
            "--profiled",
            help="Compare times as they were profiled; else they are scaled to the unprofiled "
            "steps, so that drift of the machine does not count.",
        ),
    ] = False,
    model: Annotated[str | None, typer.Option(help="Only trials of this model.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even across models, settings and devices.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the ops that vanished, shrank, grew or appeared, by layer and pass."""
    from frostline.difference import diff as difference_of
    from frostline.difference.difference import Clock
    from frostline.difference.document import document
    from frostline.difference.terminal import rendered

    clock: Clock | None = "profiled" if profiled else None
    found = difference_of(sweep, trial_a, trial_b, clock=clock, model=model, force=force)
    if as_json:
        print_document("diff", document(found))
    else:
        out().print(rendered(found, top=top))
