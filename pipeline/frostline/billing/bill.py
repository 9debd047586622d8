"""Steps, hours, energy and money of a training run. Pure.

    steps  = epochs x ceil(examples / examples per step)
    hours  = steps x step time
    kWh    = steps x energy per step, or hours x the user's watts
    cost   = hours x price per hour

Steps are counted in whole numbers: the last batch of an epoch takes a step even where it is not
full. Intervals are those of the step time and of the energy per step. Evaluation, checkpoints and
the start of the program are not part of a bill.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from frostline.billing.run import Run
from frostline.errors import UsageError

EnergySource = Literal["measured", "predicted", "watts"]
"""Where kWh come from: a trial's own energy, the power of the anchors, or the user's watts."""

_NS_PER_HOUR = 3.6e12
_JOULES_PER_KWH = 3.6e6
_WHOLE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A positive quantity with its interval.

    Attributes:
        value: in the unit of the field that holds it.
        low, high: ends of the interval; None where none is known.
    """

    value: float
    low: float | None = None
    high: float | None = None

    def times(self, factor: float) -> Amount:
        """The quantity and its interval, multiplied by a positive number that is exact."""
        return Amount(
            value=self.value * factor,
            low=None if self.low is None else self.low * factor,
            high=None if self.high is None else self.high * factor,
        )

    def within(self, spread: float | None) -> Amount:
        """The same value, with an interval by a factor of 1 + `spread` to either side."""
        if spread is None:
            return replace(self, low=None, high=None)
        return replace(self, low=self.value / (1 + spread), high=self.value * (1 + spread))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a run takes.

    Attributes:
        steps: training steps of all epochs.
        hours: of these steps.
        kwh: energy in kilowatt-hours; None where it is not known.
        kwh_from: where that energy comes from; None where it is not known.
        cost: in the unit of the price; None without a price.
    """

    steps: int
    hours: Amount
    kwh: Amount | None
    kwh_from: EnergySource | None
    cost: Amount | None


def steps_per_epoch(examples: int, examples_per_step: float) -> int:
    """Steps that an epoch takes; a batch that is not full takes one as well.

    Args:
        examples: in an epoch.
        examples_per_step: above 0; the batch size, or the mean over batches that differ.
    """
    nearest = round(examples_per_step)
    if nearest and abs(examples_per_step / nearest - 1) < _WHOLE:
        return -(-examples // nearest)  # in integers, however large
    return math.ceil(examples / examples_per_step)


def bill_of(
    run: Run,
    *,
    examples_per_step: float,
    step_ns: Amount,
    joules_per_step: Amount | None,
    joules_from: EnergySource,
) -> Bill:
    """What a run takes, by the time and the energy of its steps.

    Args:
        run: with `examples` and `epochs`; its `watts` go before `joules_per_step`.
        examples_per_step: the batch size, or the mean over batches that differ.
        step_ns: nanoseconds.
        joules_per_step: joules; None where they are not known.
        joules_from: where these joules come from.

    Raises:
        UsageError: the run does not tell its examples or epochs.
    """
    if run.examples is None or run.epochs is None:
        raise UsageError("a run needs its examples and its epochs: set both")
    steps = run.epochs * steps_per_epoch(run.examples, examples_per_step)
    hours = step_ns.times(steps / _NS_PER_HOUR)
    kwh: Amount | None = None
    source: EnergySource | None = None
    if run.watts is not None:
        kwh, source = hours.times(run.watts / 1000), "watts"
    elif joules_per_step is not None:
        kwh, source = joules_per_step.times(steps / _JOULES_PER_KWH), joules_from
    cost = None if run.price_per_hour is None else hours.times(run.price_per_hour)
    return Bill(steps=steps, hours=hours, kwh=kwh, kwh_from=source, cost=cost)


def bill_document(bill: Bill | None) -> dict[str, object]:
    """A bill for JSON, flat: `hours`, `hours_low`, `hours_high` and so on; null where not known."""
    amounts = {
        "hours": bill.hours if bill else None,
        "kwh": bill.kwh if bill else None,
        "cost": bill.cost if bill else None,
    }
    found: dict[str, object] = {"run_steps": bill.steps if bill else None}
    for name, amount in amounts.items():
        found[name] = amount.value if amount else None
        found[f"{name}_low"] = amount.low if amount else None
        found[f"{name}_high"] = amount.high if amount else None
    return {**found, "kwh_from": bill.kwh_from if bill else None}
