"""The bills of predicted configurations, and the power that their energies are predicted with.

In: a group with its cost model, and a run. Out: hours with the interval of the predicted speedup,
and energy as the power of the anchors times the predicted time. Pure.

The power of the anchors is the median, over the measured trials of anchors and controls, of energy
per step / step time. So it rests on what predictions rest on, and no held-out trial has a say. It
is one number, because power depends on which ops run and not on how long the step is; the controls,
three in each sweep, give the usual mixture of ops more weight than the anchors at the extremes. On
two sweeps of an H200 (nine held-out configurations) energies are off by 3.1% on average. One power
for each anchor, and the median of these, gives 6.5%, and a line between these by step time 5.9%.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from frostline.billing.bill import Amount, Bill, bill_of
from frostline.billing.run import Run
from frostline.billing.trials import counted_joules, energy_spread
from frostline.costmodel.held_out import HeldOut, HeldOutError, held_out_error
from frostline.prediction.fitted_groups import PredictedGroup
from frostline.prediction.interval import spread
from frostline.store.trial_row import TrialRow


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorPower:
    """What predicted energies rest on.

    Attributes:
        watts: power of the anchors.
        error: of predicted energies over the held-out configurations whose energy was measured;
            None where there is none.
        spread: see `frostline.prediction.interval`; None with too few of them.
    """

    watts: float
    error: HeldOutError | None
    spread: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Billing:
    """What the bills of a group share.

    Attributes:
        run: what is to be run.
        examples_per_step: median over the trials.
        baseline_step_ns: median over the baselines, with the noise floor as its interval.
        baseline_joules: energy of the baseline's step, with its interval; None where not measured.
        power: of the anchors; None where their energy was not measured.
    """

    run: Run
    examples_per_step: float
    baseline_step_ns: Amount
    baseline_joules: Amount | None
    power: AnchorPower | None

    @property
    def baseline(self) -> Bill:
        """What the run takes with nothing frozen, as it was measured."""
        return bill_of(
            self.run,
            examples_per_step=self.examples_per_step,
            step_ns=self.baseline_step_ns,
            joules_per_step=self.baseline_joules,
            joules_from="measured",
        )

    def predicted(self, speedup: Amount) -> Bill:
        """What the run takes in a configuration with this predicted speedup.

        Energy has an interval of its own, from the held-out energies: it covers errors of the time
        and of the power together.
        """
        step_ns = self._step_ns(speedup)
        joules = None
        if self.power is not None:
            predicted = Amount(value=self.power.watts * step_ns.value / 1e9)
            joules = predicted.within(self.power.spread)
        return bill_of(
            self.run,
            examples_per_step=self.examples_per_step,
            step_ns=step_ns,
            joules_per_step=joules,
            joules_from="predicted",
        )

    def measured(self, speedup: Amount, joules_per_step: float | None) -> Bill:
        """What the run takes in a configuration that was measured.

        Its energy is the measured one where the device tells, and predicted else.
        """
        if joules_per_step is None:
            return self.predicted(speedup)
        return bill_of(
            self.run,
            examples_per_step=self.examples_per_step,
            step_ns=self._step_ns(speedup),
            joules_per_step=Amount(value=joules_per_step),
            joules_from="measured",
        )

    def _step_ns(self, speedup: Amount) -> Amount:
        base_ns = self.baseline_step_ns.value
        return Amount(
            value=base_ns / speedup.value,
            low=None if speedup.high is None else base_ns / speedup.high,
            high=None if speedup.low is None else base_ns / speedup.low,
        )


def billing_of(
    group: PredictedGroup, run: Run | None, *, baseline_step_ns: int | None, floor: float | None
) -> Billing | None:
    """What the bills of a group share; None without a run, or where no baseline was measured.

    Args:
        group: with its measured trials.
        run: with `examples` and `epochs`.
        baseline_step_ns: median over its baselines.
        floor: its noise floor.
    """
    if run is None or not baseline_step_ns:
        return None
    joules = [value for row in group.controls if (value := counted_joules(row))]
    return Billing(
        run=run,
        examples_per_step=group.examples_per_step,
        baseline_step_ns=Amount(value=baseline_step_ns).within(floor),
        baseline_joules=(
            Amount(value=median(joules)).within(energy_spread(group.controls)) if joules else None
        ),
        power=anchor_power(group),
    )


def anchor_power(group: PredictedGroup) -> AnchorPower | None:
    """The power of a group's anchors; None where no energy of an anchor was measured."""
    held_out = {row.trial_id for row in group.held_out}
    powers = [
        power for row in group.rows if row.trial_id not in held_out and (power := _watts(row))
    ]
    if not powers:
        return None
    watts = median(powers)
    judged = _judged(group, watts)
    return AnchorPower(
        watts=watts,
        error=held_out_error(judged),
        spread=spread([each.error for each in judged]),
    )


def _watts(row: TrialRow) -> float | None:
    joules = counted_joules(row)
    return None if joules is None or not row.step_ns else joules / (row.step_ns / 1e9)


def _judged(group: PredictedGroup, watts: float) -> Sequence[HeldOut]:
    """Measured energies of held-out configurations beside the predicted ones, in joules a step."""
    found = []
    for row in group.held_out:
        speedup = group.predicted(row.frozen_variables)
        joules = counted_joules(row)
        if speedup and joules and row.baseline_step_ns:
            predicted = watts * row.baseline_step_ns / speedup / 1e9
            found.append(HeldOut(measured=joules, low=joules, high=joules, predicted=predicted))
    return found
