"""Bills of predicted configurations in sentences. Pure."""

from __future__ import annotations

from frostline.billing.bill import Amount, Bill
from frostline.billing.words import amount_words, energy_words, run_words
from frostline.prediction.bills import Billing
from frostline.prediction.interval import LEAST_HELD_OUT, covered
from frostline.prediction.predicted_configurations import Answer
from frostline.words import counted, percent


def bill_sentences(answer: Answer) -> str:
    """What a run takes in one configuration, and with nothing frozen; empty without a run."""
    bill, billing = answer.bill, answer.billing
    if bill is None or billing is None:
        return ""
    run = run_words(billing.run)
    return (
        f"{run[:1].upper()}{run[1:]}: {amounts_sentence(bill, billing)} "
        f"{steps_sentence(billing)} {energy_sentence(billing)}"
    )


def amounts_sentence(bill: Bill, billing: Billing) -> str:
    """Hours, energy and money of a bill, each beside those with nothing frozen."""
    base = billing.baseline
    parts = [
        _instead("", bill.hours, " h", base.hours),
        _instead("", bill.kwh, " kWh", base.kwh),
        _instead("cost ", bill.cost, "", base.cost),
    ]
    return f"{'; '.join(filter(None, parts))}."


def steps_sentence(billing: Billing) -> str:
    """How many steps the run has."""
    size = billing.examples_per_step
    shown = f"{size:,.0f}" if abs(size - round(size)) < 0.005 else f"{size:,.2f} (a mean)"
    steps = billing.baseline.steps
    return f"It has {steps:,} step{'' if steps == 1 else 's'} of {shown} examples."


def energy_sentence(billing: Billing) -> str:
    """Where predicted energies come from, and how far they are off."""
    power = billing.power
    if billing.run.watts is not None or power is None:
        return energy_words("watts" if billing.run.watts is not None else None, billing.run)
    said = (
        f"kWh is the power of the anchors, {power.watts:.3g} W, times the time; what else the "
        "machine draws is not in it."
    )
    if power.error is None:
        return f"{said} No energy was held out, so how far it is off is not known."
    error = power.error
    said += (
        f" On {counted(error.count, 'configuration')} that took no part in it, the energy was off "
        f"by {percent(error.mean_abs)} on average and {percent(error.max_abs)} at most"
    )
    if error.count < LEAST_HELD_OUT:
        return f"{said}; too few for an interval, which takes {LEAST_HELD_OUT}."
    return f"{said}; its interval holds {percent(covered(error.count))} of such configurations."


def _instead(before: str, amount: Amount | None, after: str, baseline: Amount | None) -> str:
    if amount is None:
        return ""
    instead = "" if baseline is None else f" instead of {amount_words(baseline)}{after}"
    return f"{before}{amount_words(amount)}{after}{instead}"
