"""`frostline recommend`: what to freeze to bring the step within a budget."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frostline.cli.common import refuse_given
from frostline.cli.console import complain, err, note, out
from frostline.cli.documents import AsJson, print_document
from frostline.cli.run_options import Epochs, Examples, Price, Watts, run_asked
from frostline.errors import FrostlineError, UsageError

if TYPE_CHECKING:
    from frostline.recommendation.recommendation import Recommendation
    from frostline.recommendation.verify import Verified
    from frostline.recommendation.verify_batch import VerifiedBatch


def recommend(
    sweep: Annotated[str, typer.Argument(metavar="OUT", help="A sweep's folder or URI.")],
    budget: Annotated[
        str | None,
        typer.Option(help="Step time at most, as a share of the baseline's: 0.5, or 50%."),
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
    freeze_head: Annotated[
        bool,
        typer.Option("--freeze-head", help="The head may be frozen; else it trains, being new."),
    ] = False,
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
        bool,
        typer.Option(
            "--verify",
            help="Measure the pick: one more trial in OUT; with --memory, also run its largest "
            "batch, here and for a few steps.",
        ),
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
    as_json: AsJson = False,
) -> None:
    """Say what to freeze to bring the step within a budget, and keep what matters training."""
    from frostline.recommendation.document import document
    from frostline.recommendation.memory_limit import parse_size
    from frostline.recommendation.recommend import recommend as recommended
    from frostline.recommendation.terminal import batch_words, pasted, rendered, verified_words

    if not verify:
        refuse_given(
            {"--study": study, "--trust-study": trust_study, "--address": address},
            "is for measuring the pick: pass --verify with it",
        )
    found = recommended(
        sweep,
        _budget(budget, speedup, memory),
        importance=importance,
        must_train=train or (),
        freeze_head=freeze_head,
        asked_as="budget" if speedup is None else "speedup",
        model=model,
        setting=dict(map(_axis, setting or ())),
        memory_bytes=None if memory is None else parse_size(memory),
        run=run_asked(examples, epochs, price, watts),
    )
    for notice in found.notices:
        err().print(notice, style="yellow", markup=False)
    answers = []
    if verify and address is not None and any(one.largest_batch for one in found):
        note(
            "the largest batch is not run: that is done where the command runs, and --address "
            "names a cluster; leave --address out on a machine of that kind"
        )
    failures = list(found.failures)
    console = out()
    for one in found:
        if not as_json:
            console.print(rendered(one))
            if one.pick.frozen_layers:
                console.print(pasted(one), soft_wrap=True)
        verified, batch = None, None
        if verify and one.pick.frozen_layers:
            try:
                verified = _verified(
                    sweep, one, study=study, trust_study=trust_study, address=address
                )
            except FrostlineError as error:
                failures.append(error)
        if verified is not None and not as_json:
            console.print(verified_words(verified, one))
        if verify and one.largest_batch and address is None:
            try:
                batch = _ran(sweep, one, study=study, trust_study=trust_study)
            except FrostlineError as error:
                failures.append(error)
        if batch is not None and not as_json:
            console.print(batch_words(batch))
        answers.append((one, verified, batch))
    if as_json:
        print_document("recommend", document(answers))
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


def _ran(
    sweep: str, found: Recommendation, *, study: Path | None, trust_study: bool
) -> VerifiedBatch:
    from frostline.recommendation.verify_batch import verify_batch

    return verify_batch(sweep, found, study=study, trust_study=trust_study)


def _axis(text: str) -> tuple[str, str]:
    axis, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise UsageError(f"--setting {text}: write --setting {axis}=VALUE, as in batch_size=16")
    return axis, value


def _share(text: str) -> float:
    """A share, as `0.5` or `50%`."""
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = math.nan
    if rest or not 0 < value <= 1:
        meant = f" Did you mean {value:g}%?" if 1 < value <= 100 and not percent else ""
        raise UsageError(
            f"--budget {text}: it is the step's share of the baseline's, above 0 and up to 1, or "
            f"up to 100%; 0.5 and 50% are half the time.{meant}"
        )
    return value


def _budget(budget: str | None, speedup: float | None, memory: str | None) -> float:
    if memory is not None and budget is None and speedup is None:
        return 1.0
    if (budget is None) == (speedup is None):
        raise UsageError(
            "pass --budget or --speedup, one of them (--budget 0.5 and --speedup 2 are the same), "
            "or --memory, alone or with one of them"
        )
    if budget is not None:
        return _share(budget)
    if speedup is None or not speedup >= 1:
        raise UsageError(f"--speedup {speedup:g}: it is a factor of 1 or more; 2 is half the time")
    return 1 / speedup
