"""`frostline diff`: ops that vanished, shrank, grew or appeared between two trials."""

from __future__ import annotations

from typing import Annotated

import typer

from frostline.cli.console import out, print_json


def diff(
    sweep: Annotated[str, typer.Argument(metavar="OUT", help="A sweep's folder or URI.")],
    trial_a: Annotated[
        str, typer.Argument(metavar="TRIAL_A", help="Its id, the start of its id, or its policy.")
    ],
    trial_b: Annotated[str, typer.Argument(metavar="TRIAL_B", help="The other one.")],
    top: Annotated[int, typer.Option(min=0, help="Ops to list; 0: layers and passes only.")] = 20,
    timed: Annotated[
        bool,
        typer.Option("--timed", help="Scale the profiles to the unprofiled steps: no drift."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Even across models, settings and devices.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the ops that vanished, shrank, grew or appeared, by layer and pass."""
    from frostline.difference import diff as difference_of
    from frostline.difference.difference import Clock
    from frostline.difference.document import to_json
    from frostline.difference.terminal import rendered

    clock: Clock = "timed" if timed else "profiled"
    found = difference_of(sweep, trial_a, trial_b, clock=clock, force=force)
    if as_json:
        print_json(to_json(found))
    else:
        out().print(rendered(found, top=top))
