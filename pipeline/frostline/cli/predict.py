"""`frostline predict`: predicted speedups of configurations, measured or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from frostline.cli.common import refuse_given
from frostline.cli.console import note, out
from frostline.cli.documents import AsJson, print_document
from frostline.cli.plain_table import PlainTable
from frostline.cli.run_options import Epochs, Examples, Price, Watts, run_asked

if TYPE_CHECKING:
    from frostline.prediction import GroupAnswers


def predict(
    sweep: Annotated[str, typer.Argument(metavar="OUT", help="A sweep's folder or URI.")],
    freeze: Annotated[
        list[str] | None,
        typer.Option("--freeze", metavar="POLICY", help="As in a study file; may be repeated."),
    ] = None,
    schedule: Annotated[
        list[str] | None,
        typer.Option(
            "--schedule",
            metavar="EPOCH:POLICY",
            help="Freezing over time: from this epoch on; repeated. `study`: the study's own.",
        ),
    ] = None,
    cached: Annotated[
        bool,
        typer.Option(
            "--cached", help="With --freeze: training on stored outputs of the frozen prefix."
        ),
    ] = False,
    bandwidth: Annotated[
        float | None,
        typer.Option(
            "--bandwidth",
            metavar="MB_PER_S",
            help="With --cached: what stored outputs are read and written with. Default: memory.",
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only this model of the study.")] = None,
    examples: Examples = None,
    epochs: Epochs = None,
    price: Price = None,
    watts: Watts = None,
    as_json: AsJson = False,
) -> None:
    """Predict the speedup of any configuration, measured or not."""
    from frostline.cli import predict_over_time as courses
    from frostline.errors import UsageError
    from frostline.prediction import predict as predicted_of

    run = run_asked(examples, epochs, price, watts)
    if not cached:
        refuse_given({"--bandwidth": bandwidth}, "is for stored outputs: pass --cached with it")
    if schedule:
        if freeze or cached:
            raise UsageError("--schedule says what is frozen when: leave --freeze and --cached out")
        courses.show_schedules(sweep, schedule, model=model, run=run, as_json=as_json)
        return
    if not freeze:
        raise UsageError(
            "say what to freeze: --freeze POLICY, or --schedule EPOCH:POLICY for each stage"
        )
    if cached:
        courses.show_cached(
            sweep, freeze, model=model, run=run, bandwidth=bandwidth, as_json=as_json
        )
        return
    found = predicted_of(sweep, freeze, model=model, run=run)
    for notice in found.notices:
        note(notice)
    if as_json:
        print_document("predict", [answer.document() for answer in found.answers])
        return
    for group in found.groups:
        for part in _shown(group):
            out().print(part)


def _shown(group: GroupAnswers) -> Iterator[RenderableType]:
    from frostline.billing.words import run_words
    from frostline.memory.peak_prediction import left_out_words
    from frostline.prediction.bill_words import energy_sentence, steps_sentence
    from frostline.prediction.interval import LEAST_HELD_OUT, covered
    from frostline.prediction.predict import COLUMNS, cells
    from frostline.words import counted, floor, percent

    yield Text(f"\n{group.title}", style="bold")
    remembered = any(answer.predicted_peak_bytes is not None for answer in group.answers)
    shown = len(COLUMNS) if remembered else len(COLUMNS) - 1
    yield PlainTable(COLUMNS[:shown], (cells(answer)[:shown] for answer in group.answers))
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
    unknown = max((answer.unknown_tensors or 0 for answer in group.answers), default=0)
    said = f"{said} {left_out_words(unknown)}".rstrip()
    if any(answer.is_anchor for answer in group.answers):
        said += " * An anchor: the prediction is made from it."
    yield Padding(
        Text(f"{said} Noise floor {floor(group.noise_floor)}."), (0, 0, 1, 0), expand=False
    )
    if group.billing is not None and (bills := group.bill_table()):
        run = run_words(group.billing.run)
        yield Text(f"{run[:1].upper()}{run[1:]} takes:")
        yield PlainTable(*bills)
        sentences = f"{steps_sentence(group.billing)} {energy_sentence(group.billing)}"
        yield Padding(Text(sentences), (0, 0, 1, 0), expand=False)
