"""`frostline recommend`: what to freeze to bring the step within a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frostline.cli.console import complain, err, out, print_json
from frostline.errors import FrostlineError, UsageError


def recommend(
    sweep: Annotated[str, typer.Argument(metavar="OUT", help="A sweep's folder or URI.")],
    budget: Annotated[
        float | None, typer.Option(help="Step time at most, as a share of the baseline's: 0.5.")
    ] = None,
    speedup: Annotated[
        float | None, typer.Option(help="The same as a factor: 2 is --budget 0.5.")
    ] = None,
    importance: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="CSV or Parquet with the columns layer and importance; or params, or "
            "gradient_norm. Default: the gradient norms that the sweep recorded, else params.",
        ),
    ] = None,
    train: Annotated[
        list[str] | None,
        typer.Option(metavar="LAYER", help="A layer that must not be frozen; repeat it."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only this model of the study.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="AXIS=VALUE", help="Only this setting: batch_size=16; repeat it."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Measure the pick: one more trial in OUT.")
    ] = False,
    study: Annotated[
        Path | None,
        typer.Option(
            metavar="STUDY.toml",
            help="For --verify: the study file beside its builders; default: OUT's copy.",
        ),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="For --verify: a Ray cluster to join.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """Say what to freeze to bring the step within a budget, and keep what matters training."""
    from frostline.cli.progress import SweepProgress
    from frostline.recommendation.choose import chosen_groups, importance_of
    from frostline.recommendation.document import to_json
    from frostline.recommendation.recommend import recommend as recommendation_for
    from frostline.recommendation.recommend import refuse_budget
    from frostline.recommendation.terminal import pasted, rendered, verified_words
    from frostline.store.sweep import open_sweep

    share = _budget(budget, speedup)
    refuse_budget(share)
    opened = open_sweep(sweep)
    groups, notices = chosen_groups(opened, model=model, setting=setting or ())
    for notice in notices:
        err().print(notice, style="yellow", markup=False)
    answers = []
    failures: list[FrostlineError] = []
    console = out()
    for group in groups:
        try:
            found = recommendation_for(
                group, importance_of(opened, group, importance), share, must_train=train or ()
            )
        except UsageError as error:  # another model or setting may have an answer
            failures.append(error)
            continue
        if not as_json:
            console.print(rendered(found))
            if found.pick.frozen_layers:
                console.print(pasted(found), soft_wrap=True)
        verified = None
        if verify and found.pick.frozen_layers:
            from frostline.recommendation.verify import (
                verify as measure,  # brings the scheduler along
            )

            try:
                with SweepProgress(err()) as progress:
                    verified = measure(
                        opened, group, found, study=study, address=address, listener=progress
                    )
            except FrostlineError as error:
                failures.append(error)
        if verified is not None and not as_json:
            console.print(verified_words(verified))
        answers.append((found, verified))
    if as_json:
        print_json(to_json(answers))
    for failure in failures[:-1]:
        complain(str(failure))
    if failures:
        raise failures[-1]


def _budget(budget: float | None, speedup: float | None) -> float:
    if (budget is None) == (speedup is None):
        raise UsageError(
            "pass --budget or --speedup, one of them: --budget 0.5 and --speedup 2 are the same"
        )
    if budget is not None:
        return budget
    if speedup is None or not speedup >= 1:
        raise UsageError(f"--speedup {speedup:g}: it is a factor of 1 or more; 2 is half the time")
    return 1 / speedup
