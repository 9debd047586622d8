"""How far predictors are off, out of sample.

In: predictions and measurements of the same configurations. Out: the error of each predictor over
the configurations that no prediction was made from, smallest mean error first. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from frostline.costmodel.held_out import HeldOut, HeldOutError, held_out_error
from frostline.store.trial_row import TrialRow


def held_out_of(row: TrialRow, predicted: float | None) -> HeldOut | None:
    """A measured trial beside its prediction; None where either is missing."""
    if predicted is None or not row.speedup:
        return None
    low, high = row.speedup_low, row.speedup_high
    return HeldOut(
        measured=row.speedup,
        low=row.speedup if low is None else low,
        high=row.speedup if high is None else high,
        predicted=predicted,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedTrial:
    """One predictor's answer for one measured trial.

    Attributes:
        trial_id: the trial.
        predictor: `three_anchor`, or the name of a naive one.
        is_anchor: the prediction was made from this configuration, so it is no evidence.
        speedup: predicted and measured.
    """

    trial_id: str
    predictor: str
    is_anchor: bool
    speedup: HeldOut


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorError:
    """A predictor and its error over the held-out configurations."""

    predictor: str
    error: HeldOutError


def predictor_errors(predictions: Iterable[PredictedTrial]) -> tuple[PredictorError, ...]:
    """The error of each predictor over the held-out configurations, smallest mean first.

    The predictions are of one model under one setting; those of anchors are skipped.
    """
    by_predictor: dict[str, list[HeldOut]] = {}
    for each in predictions:
        if not each.is_anchor:
            by_predictor.setdefault(each.predictor, []).append(each.speedup)
    found = [
        PredictorError(predictor=predictor, error=error)
        for predictor, held_out in by_predictor.items()
        if (error := held_out_error(held_out)) is not None
    ]
    return tuple(sorted(found, key=lambda each: (each.error.mean_abs, each.predictor)))
