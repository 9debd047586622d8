"""How far predictors are off, out of sample.

In: predictions with the measurements beside them. Out: one `PredictorError` a predictor, over the
configurations that none of them was made from, smallest mean error first. Pure.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """One predictor's answer for one measured trial.

    Attributes:
        trial_id: the trial.
        predictor: `three_anchor`, or the name of a naive one.
        is_anchor: the prediction was made from this configuration, so it is no evidence.
        predicted, measured: speedups.
    """

    trial_id: str
    predictor: str
    is_anchor: bool
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """Predicted / measured - 1."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorError:
    """A predictor's error over the held-out configurations.

    Attributes:
        predictor: its name.
        trials: configurations held out.
        mean, largest: of |predicted / measured - 1|.
        bias: median of predicted / measured - 1; positive: it promises too much.
    """

    predictor: str
    trials: int
    mean: float
    largest: float
    bias: float


def predictor_errors(predictions: Iterable[Predicted]) -> tuple[PredictorError, ...]:
    """The error of each predictor over the held-out configurations, smallest mean first."""
    by_predictor: dict[str, list[float]] = {}
    for each in predictions:
        if not each.is_anchor:
            by_predictor.setdefault(each.predictor, []).append(each.error)
    found = [
        PredictorError(
            predictor=predictor,
            trials=len(errors),
            mean=statistics.fmean(map(abs, errors)),
            largest=max(map(abs, errors)),
            bias=statistics.median(errors),
        )
        for predictor, errors in by_predictor.items()
    ]
    return tuple(sorted(found, key=lambda error: (error.mean, error.predictor)))
