"""Who the device waits for in an unprofiled step, by pass, from a trial's row alone. Pure.

In: `TrialRow`. Out: nanoseconds of the unprofiled step by pass. The terminal, the report and
`explain` follow this one rule: the time in which no op runs (`frostline.analyse.busy`), shared out
as the profile's waits are. On an accelerator the host works ahead between unprofiled steps, so that
all of it goes to ops. On a host, what lies between steps is a part of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from frostline.analyse.busy import busy_fraction
from frostline.attribute.costs import apportion
from frostline.device_id import is_cpu
from frostline.store.trial_row import TrialRow
from frostline.words import duration_ns

BETWEEN = "between"
"""Stands for the idle time between steps, beside the passes."""

HOST_BOUND = 0.20
"""The least share of a step without a running op at which the step is called host-bound."""

INPUT_BOUND = 0.20
"""The least share of a step in reading and copying batches at which it is called input-bound."""

_NAMED = 0.02
"""The share of all waiting up to which a part of it is left out of a sentence."""

LABELS: Mapping[str, str] = {
    "forward": "the forward pass",
    "activation_gradient": "dX",
    "weight_gradient": "dW",
    "optimizer": "the update",
    "input": "input",
    "other": "ops of no pass",
    BETWEEN: "between steps",
}


def waiting_ns(row: TrialRow, step_ns: int) -> int | None:
    """The part of an unprofiled step of this length in which no op runs; None where not known."""
    busy = busy_fraction(row)
    return None if busy is None else round(step_ns * (1.0 - busy))


def between_weight_ns(row: TrialRow) -> int:
    """What the idle time between profiled steps counts for, beside the waits of ops."""
    on_host = row.device_id is not None and is_cpu(row.device_id)
    return row.between_steps_ns or 0 if on_host else 0


def waits_by_pass(row: TrialRow) -> dict[str, int] | None:
    """The waiting of a trial's unprofiled step by pass and `BETWEEN`; None where it is not known.

    Nanoseconds per step; they add up to `waiting_ns` of the trial's own step.
    """
    waits = row.waits_ns
    whole = waiting_ns(row, row.step_ns) if row.step_ns else None
    if waits is None or whole is None:
        return None
    weights = {**waits, BETWEEN: between_weight_ns(row)}
    if not any(weights.values()):
        return None
    return dict(zip(weights, apportion(whole, list(weights.values())), strict=True))


def waiting_words(waits: Mapping[str, int]) -> str:
    """The waits in words, the longest first: `10.5 ms for the update, 3.9 ms for dX`."""
    least = _NAMED * sum(waits.values())
    known = sorted((item for item in waits.items() if item[1] > least), key=lambda item: -item[1])
    return ", ".join(
        f"{duration_ns(ns)} {'' if name == BETWEEN else 'for '}{LABELS[name]}" for name, ns in known
    )
