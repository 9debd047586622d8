"""`frostline reattribute`: attribution and predictions again, from the traces that were kept."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from frostline.cli.console import err, out


def reattribute(
    sweep: Annotated[str, typer.Argument(metavar="OUT", help="A sweep's folder or URI.")],
) -> None:
    """Attribute every kept trace of a sweep again and predict every trial again; needs no GPU."""
    from frostline.sweep.reattribute import reattribute as attributed_again

    progress = err()
    done = attributed_again(sweep, tell=lambda line: progress.print(Text(line), soft_wrap=True))
    for notice in done.notices:
        progress.print(Text.assemble(("note: ", "yellow"), notice), soft_wrap=True)
    out().print(
        f"{len(done.rewritten)} trials attributed again, {len(done.left)} left as they are, "
        f"the predictions of {done.predicted} changed",
        soft_wrap=True,
    )
