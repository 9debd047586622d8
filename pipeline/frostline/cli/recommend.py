"""`frostline recommend`: what to freeze to bring the step within a budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frostline.cli.console import complain, err, out, print_json
from frostline.cli.run_options import Epochs, Examples, Price, Watts, run_asked
from frostline.errors import FrostlineError, UsageError

if TYPE_CHECKING:
    from frostline.recommendation.recommendation import Recommendation
    from frostline.recommendation.verify import Verified


def recommend(
    sweep: Annotated[str, typer.Argument(metavar="OUT", help="A sweep's folder or URI.")],
    budget: Annotated[
        float | None, typer.Option(help="Step time at most, as a share of the baseline's: 0.5.")
    ] = None,
    speedup: Annotated[
        float | None, typer.Option(help="The same as a factor: 2 is --budget 0.5.")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(help="Device memory at most, by the predicted peak: 16GiB, 800MB."),
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
    examples: Examples = None,
    epochs: Epochs = None,
    price: Price = None,
    watts: Watts = None,
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
    trust_study: Annotated[
        bool,
        typer.Option(
            "--trust-study", help="For --verify: import and call the builder that OUT names."
        ),
    ] = False,
    address: Annotated[
        str | None, typer.Option(help="For --verify: a Ray cluster to join.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """Say what to freeze to bring the step within a budget, and keep what matters training."""
    from frostline.recommendation.document import to_json
    from frostline.recommendation.memory_limit import parse_size
    from frostline.recommendation.recommend import recommend as recommended
    from frostline.recommendation.terminal import pasted, rendered, verified_words

    found = recommended(
        sweep,
        _budget(budget, speedup, memory),
        importance=importance,
        must_train=train or (),
        model=model,
        setting=dict(map(_axis, setting or ())),
        memory_bytes=None if memory is None else parse_size(memory),
        run=run_asked(examples, epochs, price, watts),
    )
    for notice in found.notices:
        err().print(notice, style="yellow", markup=False)
    answers = []
    failures = list(found.failures)
    console = out()
    for one in found:
        if not as_json:
            console.print(rendered(one))
            if one.pick.frozen_layers:
                console.print(pasted(one), soft_wrap=True)
        verified = None
        if verify and one.pick.frozen_layers:
            try:
                verified = _verified(
                    sweep, one, study=study, trust_study=trust_study, address=address
                )
            except FrostlineError as error:
                failures.append(error)
        if verified is not None and not as_json:
            console.print(verified_words(verified))
        answers.append((one, verified))
    if as_json:
        print_json(to_json(answers))
    for failure in failures[:-1]:
        complain(str(failure))
    if failures:
        raise failures[-1]


def _verified(
    sweep: str,
    found: Recommendation,
    *,
    study: Path | None,
    trust_study: bool,
    address: str | None,
) -> Verified:
    from frostline.cli.progress import SweepProgress
    from frostline.recommendation.verify import verify  # imports the scheduler

    with SweepProgress(err()) as progress:
        return verify(
            sweep,
            found,
            study=study,
            trust_study=trust_study,
            address=address,
            listener=progress,
        )


def _axis(text: str) -> tuple[str, str]:
    axis, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise UsageError(f"--setting {text}: write --setting {axis}=VALUE, as in batch_size=16")
    return axis, value


def _budget(budget: float | None, speedup: float | None, memory: str | None) -> float:
    if memory is not None and budget is None and speedup is None:
        return 1.0
    if (budget is None) == (speedup is None):
        raise UsageError(
            "pass --budget or --speedup, one of them (--budget 0.5 and --speedup 2 are the same), "
            "or --memory, alone or with one of them"
        )
    if budget is not None:
        return budget
    if speedup is None or not speedup >= 1:
        raise UsageError(f"--speedup {speedup:g}: it is a factor of 1 or more; 2 is half the time")
    return 1 / speedup
