"""The options that describe a training run, the same for every command that makes bills.

In: what was given. Out: a `Run`, or a `UsageError` that names the option.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from frostline.errors import UsageError

if TYPE_CHECKING:
    from frostline.billing import Run

Examples = Annotated[
    int | None,
    typer.Option(
        "--examples",
        metavar="N",
        help="Examples in an epoch: also tell hours, energy, money. Default: the study's run.",
    ),
]
Epochs = Annotated[
    int | None, typer.Option("--epochs", metavar="E", help="Epochs of the run, with --examples.")
]
Price = Annotated[
    float | None,
    typer.Option(
        "--price", metavar="PER_HOUR", help="Price of an hour of what a trial holds, in any unit."
    ),
]
Watts = Annotated[
    float | None,
    typer.Option(
        "--watts", metavar="W", help="Power while it trains, in place of what was measured."
    ),
]


def run_asked(
    examples: int | None, epochs: int | None, price: float | None, watts: float | None
) -> Run:
    """The run that the options describe; empty where none was given.

    Raises:
        UsageError: a number is out of range.
    """
    from frostline.billing.run import Run, wrong_value

    given = {
        "examples": ("--examples", examples),
        "epochs": ("--epochs", epochs),
        "price_per_hour": ("--price", price),
        "watts": ("--watts", watts),
    }
    for name, (option, value) in given.items():
        wrong = None if value is None else wrong_value(name, value)
        if wrong is not None:
            raise UsageError(f"{option} {wrong}")
    return Run(examples=examples, epochs=epochs, price_per_hour=price, watts=watts)
