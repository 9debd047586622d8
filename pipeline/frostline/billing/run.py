"""What is to be run, and at which price and power.

In: numbers from the command line, from a study's `[run]`, or from a notebook. Out: `Run`. Refuses
numbers that cannot be meant: zero, negative ones, fractions of an example, no numbers at all, and
numbers beyond what any training has.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Real
from typing import Final

from frostline.errors import UsageError

MOST_EXAMPLES = 10**12
MOST_EPOCHS = 10**6
MOST_PRICE = 10**9
MOST_WATTS = 10**7


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A training run. What is None is not known, or is said elsewhere.

    Attributes:
        examples: in one epoch; a whole number.
        epochs: a whole number.
        price_per_hour: of what one trial holds, a GPU or a machine; the unit is the user's own.
        watts: power while it trains; the user's figure in place of what was measured.

    Raises:
        UsageError (when it is made): a number is out of range.
    """

    examples: int | None = None
    epochs: int | None = None
    price_per_hour: float | None = None
    watts: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            wrong = None if value is None else wrong_value(field.name, value)
            if wrong is not None:
                raise UsageError(f"{field.name} {wrong}")

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said."""
        return self == Run()

    def over(self, other: Run) -> Run:
        """This run, with what the other one says where this one says nothing."""
        mine = {field.name: getattr(self, field.name) for field in fields(self)}
        return Run(
            **{
                name: getattr(other, name) if value is None else value
                for name, value in mine.items()
            }
        )


NO_RUN: Final = Run()
"""Nothing is said."""


def settled(asked: Run | None, stored: Run) -> Run | None:
    """The run that bills are made for.

    Args:
        asked: what was passed now; it goes before the study.
        stored: what the study says.

    Returns:
        A run with `examples` and `epochs`; None where neither was asked for and the study does not
        tell both.

    Raises:
        UsageError: something was asked for, and `examples` or `epochs` is not known.
    """
    wanted = (asked or NO_RUN).over(stored)
    if wanted.examples is not None and wanted.epochs is not None:
        return wanted
    if asked is None or asked.is_empty:
        return None
    options = {"examples": "--examples N", "epochs": "--epochs E"}
    missing = [option for name, option in options.items() if getattr(wanted, name) is None]
    raise UsageError(
        "hours, energy and money need to know how long the run is: pass "
        f"{' and '.join(missing)} as well, or set {'them' if len(missing) > 1 else 'it'} under "
        "[run] in the study"
    )


def wrong_value(name: str, value: float) -> str | None:
    """What is wrong with a field of `Run`, with the value in front; None where it is right."""
    what, most = _BOUNDS[name]
    text = str(value)
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    if name in _WHOLE:
        if isinstance(value, Real) and 1 <= value <= most and value % 1 == 0:
            return None
        return f"{shown}: {what} must be a whole number from 1 to {most:,}"
    if isinstance(value, Real) and 0 < value <= most:
        return None
    return f"{shown}: {what} must be above 0 and at most {most:,}; leave it out if it is not known"


_LONGEST = 24
_WHOLE = ("examples", "epochs")
_BOUNDS = {
    "examples": ("the number of examples in an epoch", MOST_EXAMPLES),
    "epochs": ("the number of epochs", MOST_EPOCHS),
    "price_per_hour": ("the price of an hour, in any unit of money,", MOST_PRICE),
    "watts": ("the power while it trains, in watts,", MOST_WATTS),
}
