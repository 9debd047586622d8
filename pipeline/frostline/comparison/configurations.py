"""The configurations of a model under a setting in both sweeps, and what is judged of each.

In: the two groups of trials. Out: configurations by their frozen variables, with a judgement of the
speedups (and of the step times, where that is asked for) of those that both sweeps hold. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from frostline.analyse import TrialGroup
from frostline.comparison.carried import Frozen
from frostline.comparison.comparison import Configuration, Prediction, Side
from frostline.comparison.ratio import Measured, Scatter, drift, ratio, scatter_of_controls
from frostline.comparison.verdict import Judgement, judge, unknown
from frostline.store.trial_row import TrialRow
from frostline.words import failure_words

Trials = Mapping[Frozen, TrialRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """How ratios are judged.

    Attributes:
        margin: see `frostline.comparison.verdict`.
        judged: how many ratios are judged together.
        steps: whether step times are judged as well.
    """

    margin: float
    judged: int
    steps: bool


def trials_of(group: TrialGroup) -> Trials:
    """The trials but for controls, by what they freeze; of several the last that is ok.

    One that freezes nothing is a variant's.
    """
    found: dict[Frozen, TrialRow] = {}
    rows = [row for row in group.rows if not row.is_control]
    for row in sorted(rows, key=lambda row: (row.speedup is not None, row.started_at)):
        found[frozenset(row.frozen_variables)] = row
    ordered = sorted(found.values(), key=lambda row: (row.frozen_fraction or 0.0, row.policy))
    return {frozenset(row.frozen_variables): row for row in ordered}


def measured(row: TrialRow) -> Measured | None:
    """A trial's speedup with its interval; None where one of them is missing."""
    value, low, high = row.speedup, row.speedup_low, row.speedup_high
    if value is None or low is None or high is None or not 0 < low <= value <= high:
        return None
    return Measured(value=value, low=low, high=high)


def speedups_of(trials: Trials) -> dict[Frozen, Measured]:
    """Measured speedups by what is frozen."""
    found = {frozen: measured(row) for frozen, row in trials.items()}
    return {frozen: each for frozen, each in found.items() if each is not None}


def beside(
    a: Trials,
    b: Trials,
    judge_speedups: Iterable[Frozen],
    groups: tuple[TrialGroup, TrialGroup],
    judging: Judging,
    predictions: Mapping[Frozen, Prediction],
) -> tuple[Configuration, ...]:
    """The configurations that stand on both sides, in the order of A.

    Args:
        a: trials of A.
        b: trials of B.
        judge_speedups: what is frozen in those that are judged.
        groups: of A and of B, for their noise.
        judging: how.
        predictions: for B.
    """
    noise, drifts = _noise(groups), _drift(groups)
    judged = set(judge_speedups)
    return tuple(
        Configuration(
            policy=row.policy,
            frozen_fraction=row.frozen_fraction,
            a=side(row),
            b=side(b[frozen]),
            speedups=_speedups(row, b[frozen], noise, judging) if frozen in judged else None,
            steps=(
                _steps(row.step_ns, b[frozen].step_ns, drifts, judging)
                if judging.steps and frozen in judged
                else None
            ),
            prediction=predictions.get(frozen),
        )
        for frozen, row in a.items()
        if frozen in b
    )


def alone(
    mine: Trials, theirs: Trials, predictions: Mapping[Frozen, Prediction], *, in_a: bool
) -> tuple[Configuration, ...]:
    """The configurations that stand on one side only."""
    return tuple(
        Configuration(
            policy=row.policy,
            frozen_fraction=row.frozen_fraction,
            a=side(row) if in_a else None,
            b=None if in_a else side(row),
            speedups=None,
            steps=None,
            prediction=predictions.get(frozen) if in_a else None,
        )
        for frozen, row in mine.items()
        if frozen not in theirs
    )


def baselines(groups: tuple[TrialGroup, TrialGroup], judging: Judging) -> Judgement:
    """A's baseline step time against B's."""
    a, b = (group.baseline_step_ns for group in groups)
    return _steps(a, b, _drift(groups), judging)


def side(row: TrialRow) -> Side:
    """A trial as one side of a configuration."""
    return Side(
        trial_id=row.trial_id,
        policy=row.policy,
        speedup=measured(row),
        step_ns=row.step_ns,
        failure=failure_words(row) if row.status == "failed" else None,
    )


def _noise(groups: Iterable[TrialGroup]) -> tuple[Scatter | None, Scatter | None]:
    a, b = (
        scatter_of_controls(row.speedup for row in group.controls if row.speedup)
        for group in groups
    )
    return a, b


def _drift(groups: Iterable[TrialGroup]) -> tuple[Scatter | None, Scatter | None]:
    a, b = (drift(group.baseline_steps_ns) for group in groups)
    return a, b


def _speedups(
    a: TrialRow, b: TrialRow, noise: tuple[Scatter | None, Scatter | None], judging: Judging
) -> Judgement:
    if b.status == "failed":
        return unknown(f"{failure_words(b)} (B)")
    one, other = measured(a), measured(b)
    if one is None or other is None:
        return unknown("it has no interval in " + ("A" if one is None else "B"))
    scatters = _both(noise)
    if scatters is None:
        missing = "A" if noise[0] is None else "B"
        return unknown(f"no control was measured in {missing}, so its noise is not known")
    return judge(ratio(one, other, scatters, judged=judging.judged), judging.margin)


def _steps(
    a_ns: int | None,
    b_ns: int | None,
    drifts: tuple[Scatter | None, Scatter | None],
    judging: Judging,
) -> Judgement:
    scatters = _both(drifts)
    if not a_ns or not b_ns or scatters is None:
        return unknown("too few step times were measured")
    one, other = (Measured(value=1 / ns, low=1 / ns, high=1 / ns) for ns in (a_ns, b_ns))
    return judge(ratio(one, other, scatters, judged=judging.judged), judging.margin)


def _both(found: tuple[Scatter | None, Scatter | None]) -> tuple[Scatter, Scatter] | None:
    a, b = found
    return None if a is None or b is None else (a, b)
