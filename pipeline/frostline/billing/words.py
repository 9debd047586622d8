"""Bills as text, with the digits that their intervals support. Pure.

The last digit shown is that of the leading digit of the interval's half-width: 12.34 in
[11.9, 12.8], which is good to half an hour, reads `12.3 [11.9, 12.8]`. It has four digits at most.
Two digits are shown where no interval is known. Money has no sign: its unit is that of the price.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from frostline.billing.bill import Amount, Bill, EnergySource
from frostline.billing.run import Run
from frostline.words import DASH

MOST_DIGITS = 4
"""The most significant digits of a figure, however narrow its interval."""
WITHOUT_INTERVAL = 2
"""The significant digits of a figure that has no interval."""
_MOST_DECIMALS = 6
_LONGEST = 10**15


def last_place(amount: Amount) -> int:
    """The power of ten of the last digit that an amount is shown with."""
    leading = _exponent(amount.value)
    if amount.low is None or amount.high is None:
        return leading - WITHOUT_INTERVAL + 1
    finest = leading - MOST_DIGITS + 1
    half_width = (amount.high - amount.low) / 2
    if half_width <= 0:
        return finest
    if half_width == math.inf:
        return leading
    return min(leading, max(finest, _exponent(half_width)))


def amount_words(amount: Amount | None) -> str:
    """An amount with its interval: `12.3 [11.9, 12.8]`."""
    if amount is None:
        return DASH
    place = last_place(amount)
    shown = _digits(amount.value, place)
    if amount.low is None or amount.high is None:
        return shown
    return f"{shown} [{_digits(amount.low, place)}, {_digits(amount.high, place)}]"


def run_words(run: Run) -> str:
    """The run in words: `a run of 90 epochs of 1,281,167 examples at a price of 2.5 an hour`."""
    epochs = "1 epoch" if run.epochs == 1 else f"{run.epochs or 0:,.0f} epochs"
    examples = "1 example" if run.examples == 1 else f"{run.examples or 0:,.0f} examples"
    price = "" if run.price_per_hour is None else f" at a price of {run.price_per_hour:,g} an hour"
    return f"a run of {epochs} of {examples}{price}"


def bill_columns(bills: Iterable[Bill]) -> tuple[str, ...]:
    """The headings of a table of bills; what none of them knows has no column."""
    bills = tuple(bills)
    known = {
        "hours": True,
        "kWh": any(bill.kwh is not None for bill in bills),
        "cost": any(bill.cost is not None for bill in bills),
    }
    return tuple(heading for heading, there in known.items() if there)


def bill_cells(bill: Bill | None, columns: Sequence[str]) -> tuple[str, ...]:
    """A bill as a row under `columns`, which `bill_columns` gives."""
    amounts = {
        "hours": bill.hours if bill else None,
        "kWh": bill.kwh if bill else None,
        "cost": bill.cost if bill else None,
    }
    return tuple(amount_words(amounts[heading]) for heading in columns)


def measured_words(bills: Iterable[Bill], run: Run) -> str:
    """What the bills of measured trials are for, and where their energies come from."""
    sources = {bill.kwh_from for bill in bills}
    known = next((source for source in sources if source is not None), None)
    words = run_words(run)
    return (
        f"{words[:1].upper()}{words[1:]}, at each trial's step time. Hours have the interval "
        f"of the trial's speedup. {energy_words(known, run)}"
    )


def energy_words(source: EnergySource | None, run: Run) -> str:
    """Where the energies come from, as a sentence."""
    match source:
        case "measured":
            return (
                "kWh is the energy that the device counted while it ran the trial's steps; what "
                "else the machine draws is not in it."
            )
        case "predicted":
            return (
                "kWh is the power of the anchors times the time; what else the machine draws is "
                "not in it."
            )
        case "watts":
            return f"kWh is the time at {run.watts:,g} W, a figure of yours and not a measurement."
        case None:
            return (
                "kWh is not known: the energy of a step was not measured. --watts W takes a figure "
                "of yours."
            )


def _exponent(value: float) -> int:
    """The power of ten of the leading digit; 0 for what has none."""
    return math.floor(math.log10(value)) if 0 < value < math.inf else 0


def _digits(value: float, place: int) -> str:
    """A number rounded to a power of ten; in powers of ten itself where it is far from 1."""
    if place < -_MOST_DECIMALS or value >= _LONGEST:
        digits = max(0, _exponent(value) - place) if value > 0 else 0
        return f"{value:.{digits}e}"
    return f"{round(value, -place):,.{max(0, -place)}f}"
