"""The bills of measured trials, and how well their energies repeat. Pure.

In: the rows of one model under one setting, and a run. Out: a bill for each trial that has a step
time. Hours have the interval of the trial's speedup: what else the machine does slows both arms of
a pair alike, so it says how well the trial's step is known relative to its baseline. Energy is
counted once for a trial, so its interval is how far the controls' energies lie from their median.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from frostline.billing.bill import Amount, Bill, bill_of
from frostline.billing.run import Run
from frostline.store.trial_row import TrialRow

_LEAST_CONTROLS = 2
_LEAST_EXAMPLES = 0.999
"""Each batch has an example; the rest is rounding."""
_LEAST_JOULES = 1e-9
"""What is less was not counted."""


def trial_bills(
    rows: Sequence[TrialRow], run: Run, controls: Sequence[TrialRow] | None = None
) -> dict[str, Bill]:
    """By `trial_id`, what the run takes; trials without a step time are left out.

    Args:
        rows: all trials of one model under one setting, on one kind of device.
        run: with `examples` and `epochs`.
        controls: that the rows are held against; None: those among the rows. A variant's are the
            plain model's.
    """
    spread = energy_spread(rows if controls is None else controls)
    found = {}
    for row in rows:
        step_ns = measured_step(row)
        if step_ns is not None:
            found[row.trial_id] = bill_of(
                run,
                examples_per_step=examples_per_step(row),
                step_ns=step_ns,
                joules_per_step=measured_joules(row, spread),
                joules_from="measured",
            )
    return found


def examples_per_step(row: TrialRow) -> float:
    """Examples of a mean batch: of those that ran where they were counted, else the batch size."""
    if row.examples_per_second and row.step_ns:
        counted = row.examples_per_second * row.step_ns / 1e9
        if counted >= _LEAST_EXAMPLES:
            return counted
    return float(row.batch_size)


def measured_step(row: TrialRow) -> Amount | None:
    """A trial's step time in nanoseconds, with the interval of its speedup."""
    if not row.step_ns:
        return None
    if not (row.speedup and row.speedup_low and row.speedup_high):
        return Amount(value=row.step_ns)
    return Amount(
        value=row.step_ns,
        low=row.step_ns * row.speedup / row.speedup_high,
        high=row.step_ns * row.speedup / row.speedup_low,
    )


def counted_joules(row: TrialRow) -> float | None:
    """A trial's energy per step in joules; None where the device counted none."""
    joules = row.energy_joules_per_step
    return joules if joules is not None and joules >= _LEAST_JOULES else None


def measured_joules(row: TrialRow, spread: float | None) -> Amount | None:
    """A trial's energy per step in joules; `spread` as `energy_spread` gives it."""
    joules = counted_joules(row)
    return None if joules is None else Amount(value=joules).within(spread)


def energy_spread(rows: Sequence[TrialRow]) -> float | None:
    """How far the energy of a copy of the baseline lies from the usual one.

    Returns:
        The largest ratio of a control's energy to the median of them, or of the median to it, less
        1; None with fewer than two controls whose energy was measured.
    """
    known = [joules for row in rows if row.is_control and (joules := counted_joules(row))]
    if len(known) < _LEAST_CONTROLS:
        return None
    middle = median(known)
    return max(max(value / middle, middle / value) for value in known) - 1
