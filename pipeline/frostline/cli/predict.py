"""`frostline predict`: predicted speedups of configurations, measured or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from frostline.cli.console import err, out, print_json

if TYPE_CHECKING:
    from frostline.prediction import Answer, GroupAnswers


def predict(
    sweep: Annotated[str, typer.Argument(metavar="OUT", help="A sweep's folder or URI.")],
    freeze: Annotated[
        list[str],
        typer.Option("--freeze", metavar="POLICY", help="As in a study file; may be repeated."),
    ],
    model: Annotated[str | None, typer.Option(help="Only this model of the study.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """Predict the speedup of any configuration, measured or not."""
    import json

    from frostline.prediction import predict as predicted_of

    found = predicted_of(sweep, freeze, model=model)
    for notice in found.notices:
        err().print(Text(f"note: {notice}"), soft_wrap=True)
    if as_json:
        print_json(json.dumps([answer.document() for answer in found.answers], indent=1))
        return
    for group in found.groups:
        for part in _shown(group):
            out().print(part)


def _shown(group: GroupAnswers) -> Iterator[RenderableType]:
    from frostline.prediction.interval import LEAST_HELD_OUT, covered
    from frostline.words import counted, floor, percent

    yield Text(f"\n{group.key.label}", style="bold")
    yield _table(group.answers)
    if group.error is None:
        said = (
            "Made from the anchors alone: no other configuration was measured, so how far these "
            "predictions are off is not known."
        )
    else:
        error = group.error
        said = (
            f"On {counted(error.count, 'configuration')} that took no part in it, the "
            f"prediction was off by {percent(error.mean_abs)} on average and "
            f"{percent(error.max_abs)} at most"
        )
        if error.count < LEAST_HELD_OUT:
            said += f"; too few for an interval, which takes {LEAST_HELD_OUT}."
        else:
            said += f"; an interval holds {percent(covered(error.count))} of such configurations."
    if group.peak_error is not None:
        said += (
            f" Memory: off by {percent(group.peak_error.mean_abs)} on average and "
            f"{percent(group.peak_error.max_abs)} at most, on {group.peak_error.count} of them."
        )
    elif any(answer.predicted_peak_bytes is not None for answer in group.answers):
        said += " Memory is predicted and was measured on none of them."
    if any(answer.is_anchor for answer in group.answers):
        said += " * An anchor: the prediction is made from it."
    yield Padding(Text(f"{said} Noise floor {floor(group.noise_floor)}."), (0, 0, 1, 0))


def _table(answers: tuple[Answer, ...]) -> Table:
    from frostline.prediction.predict import COLUMNS, cells

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    known = any(answer.predicted_peak_bytes is not None for answer in answers)
    policy, *numbers = COLUMNS if known else COLUMNS[:-1]
    table.add_column(policy, overflow="fold", min_width=12)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    for answer in answers:
        table.add_row(*map(Text, cells(answer)[: len(numbers) + 1]))
    return table
