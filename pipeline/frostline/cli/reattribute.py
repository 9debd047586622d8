"""`frostline reattribute`: attribution and predictions again, from the traces that were kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from frostline.cli.common import refuse_given
from frostline.cli.console import err, note, out
from frostline.cli.documents import AsJson, print_document


def reattribute(
    sweep: Annotated[str, typer.Argument(metavar="OUT", help="A sweep's folder or URI.")],
    retrace: Annotated[
        bool,
        typer.Option(
            "--retrace",
            help="First build and trace the models again, and fill in what was not recorded; "
            "runs no step.",
        ),
    ] = False,
    study: Annotated[
        Path | None,
        typer.Option(help="For --retrace: the study file, where OUT's builders lie beside it."),
    ] = None,
    trust_study: Annotated[
        bool,
        typer.Option(
            "--trust-study", help="For --retrace: import and call the builder that OUT names."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Attribute every kept trace of a sweep again and predict every trial again; needs no GPU."""
    from frostline.sweep.reattribute import reattribute as attributed_again
    from frostline.words import counted

    if not retrace:
        refuse_given(
            {"--study": study, "--trust-study": trust_study},
            "says which builders are called, and only --retrace calls any: pass it as well",
        )
    progress = err()
    done = attributed_again(
        sweep,
        retrace=retrace,
        study=study,
        trust_study=trust_study,
        tell=lambda line: progress.print(Text(line), soft_wrap=True),
    )
    for notice in done.notices:
        note(notice)
    if as_json:
        print_document(
            "reattribute",
            {
                "rewritten": list(done.rewritten),
                "left": list(done.left),
                "left_because": dict(done.left),
                "untraced": dict(done.untraced),
                "predictions_changed": done.predicted,
                "notices": list(done.notices),
            },
        )
        return
    untraced = f"{len(done.untraced)} not traced again, " if done.untraced else ""
    out().print(
        f"{counted(len(done.rewritten), 'trial')} attributed again, {untraced}"
        f"{len(done.left)} left as they are, the predictions of {done.predicted} changed",
        soft_wrap=True,
    )
