"""What of A's order holds on B, by predictions made from B's anchors alone.

In: the cost models of a model under a setting in both sweeps, and A's measured configurations. Out:
a predicted speedup on B of each, and whether they stand in A's order. Nothing but the anchors of B
enters a prediction, so that it can be had before the other configurations are measured there. How
far it may be off is taken from configurations that were held out in B, else in A.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from frostline.billing.bill import Amount
from frostline.comparison.comparison import CarriedOver, Prediction
from frostline.comparison.order import order
from frostline.comparison.ratio import Measured
from frostline.costmodel.held_out import HeldOutError, held_out_error
from frostline.policies import anchors
from frostline.prediction import PredictedGroup
from frostline.prediction.interval import LEAST_HELD_OUT, spread

Frozen = frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Predictions for B of configurations, by their frozen variables, and their known error."""

    predictions: Mapping[Frozen, Prediction]
    error: HeldOutError | None
    error_of: str | None


def forecast(
    wanted: Sequence[Frozen], here: PredictedGroup, there: PredictedGroup | None
) -> Forecast:
    """Predict configurations on B.

    Args:
        wanted: frozen variables of each; those that B's model does not have are left out.
        here: B's cost model.
        there: A's; None where it has none.
    """
    judged, error_of = here.judged(), "B"
    if len(judged) < LEAST_HELD_OUT and there is not None:
        elsewhere = there.judged()
        if len(elsewhere) > len(judged):
            judged, error_of = elsewhere, "A"
    width = spread([each.error for each in judged])
    first = frozenset(anchor.frozen_variables for anchor in anchors(here.facts))
    known = {each.path for each in here.facts.variables}
    found = {}
    for frozen in wanted:
        speedup = here.predicted(sorted(frozen)) if frozen <= known else None
        if speedup is not None:
            found[frozen] = Prediction(speedup=_within(speedup, width), is_anchor=frozen in first)
    error = held_out_error(judged)
    return Forecast(predictions=found, error=error, error_of=error_of if error else None)


def carried_over(
    a: Mapping[Frozen, Measured],
    b: Mapping[Frozen, Measured],
    forecast: Forecast,
    floors: tuple[float | None, float | None],
) -> CarriedOver | None:
    """A's order against the forecast for B; None where no configuration of A has one.

    Args:
        a: what A measured.
        b: what B measured; only anchors are looked at.
        forecast: for B.
        floors: noise floors of A and B.
    """
    both = []
    predicted = 0
    for frozen, measured in a.items():
        each = forecast.predictions.get(frozen)
        if each is None:
            continue
        known = b.get(frozen) if each.is_anchor else None
        predicted += not each.is_anchor
        both.append((measured, known or each.speedup))
    if not predicted:
        return None
    error = forecast.error
    return CarriedOver(
        order=order(both, floors[0], floors[1]),
        predicted=predicted,
        error=error.mean_abs if error else None,
        held_out=error.count if error else 0,
        error_of=forecast.error_of,
    )


def _within(speedup: float, width: float | None) -> Measured:
    around = Amount(value=speedup).within(width)
    return Measured(
        value=speedup,
        low=speedup if around.low is None else around.low,
        high=speedup if around.high is None else around.high,
    )
