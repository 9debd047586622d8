"""Rows of the table `predictions`: each predictor's answer for every measured trial.

In: the groups of a sweep. Out: rows; they are also written to OUT, with `trials.predicted_step_ns`.
Failed trials and trials without a commit have none. Call with OUT's lock held.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from statistics import median

from frostline.analyse.groups import noise_floor
from frostline.analyse.stored_memory import naive_peaks
from frostline.costmodel.naive import naive_speedups
from frostline.memory.peak_prediction import PeakPrediction
from frostline.prediction.fitted_groups import PredictedGroup, Unpredicted, sort_groups
from frostline.store.outdir import Amendment
from frostline.store.schema import PredictionRow
from frostline.store.sweep import Sweep
from frostline.store.trial_row import PredictedColumns, TrialRow

THREE_ANCHOR = "three_anchor"


def predictions(group: PredictedGroup | Unpredicted) -> list[PredictionRow]:
    """Every predictor's answer for every trial of a group.

    `predicted_step_ns` is the trial's own `baseline_step_ns` / `predicted_speedup`: that baseline
    was measured at the same time as the trial. `three_anchor` is null where anchors are missing.
    """
    return [prediction for _, mine, _ in _answers(group) for prediction in mine]


def _answers(
    group: PredictedGroup | Unpredicted,
) -> Iterator[tuple[TrialRow, list[PredictionRow], PredictedColumns]]:
    """Every predictor's answer for each trial of a group, and the columns of its own row."""
    floor = noise_floor(group.controls)
    for row in group.rows:
        fitted = group if isinstance(group, PredictedGroup) else None
        three = None if fitted is None else fitted.predicted(row.frozen_variables)
        peak = None if fitted is None else fitted.judged_peak(row)  # with every tensor of the step
        answers = {THREE_ANCHOR: three, **_naive(group, row)}
        peaks = _peaks(group, row, peak)
        mine = [
            _row(row, name, answers.get(name), floor, peaks.get(name))
            for name in dict.fromkeys((*answers, *peaks))
        ]
        yield row, mine, _columns(peak, mine)


def _peaks(
    group: PredictedGroup | Unpredicted, row: TrialRow, peak: PeakPrediction | None
) -> dict[str, int]:
    """Each predictor's peak of a trial, in bytes, where it has one."""
    if peak is None or not isinstance(group, PredictedGroup) or group.memory is None:
        return {}
    baselines = [each.judged_peak_bytes for each in group.controls]
    known = [n_bytes for n_bytes in baselines if n_bytes is not None]
    if row.variant is not None or not known:
        return {THREE_ANCHOR: peak.total}
    return {THREE_ANCHOR: peak.total, **naive_peaks(group.memory, row, round(median(known)))}


def write_predictions(sweep: Sweep) -> tuple[int, tuple[str, ...]]:
    """Write the predictions of every measured trial, where they differ from those that it has.

    A trial stays committed throughout; a reader finds its old predictions or the new ones. The
    sweep has to be opened after its last trial was committed.

    Returns:
        How many trials were rewritten, and why models, settings and single configurations have no
        prediction.

    Raises:
        StorageError: OUT cannot be read or written.
    """
    fitted, rest = sort_groups(sweep)
    changed = sweep.out.amend_all(_amendments(sweep, [*fitted, *rest]))
    gaps = (gap for group in fitted for gap in group.gaps)
    return changed, (*(each.notice for each in rest), *gaps)


def _amendments(
    sweep: Sweep, groups: Sequence[PredictedGroup | Unpredicted]
) -> Iterator[Amendment]:
    """What has to change in OUT; a trial that is no longer predicted loses what it had."""
    there = _there(sweep)
    predicted = {row.trial_id for group in groups for row in group.rows}
    others = [row for row in sweep.trial_rows() if row.trial_id not in predicted]
    for row, mine, columns in chain(
        (each for group in groups for each in _answers(group)),
        ((row, [], PredictedColumns.nothing()) for row in others),
    ):
        stored = row.values()
        new = {name: value for name, value in columns.values().items() if stored[name] != value}
        if new or there.get(row.trial_id, []) != mine:
            yield Amendment(trial_id=row.trial_id, tables={"predictions": mine}, columns=new)


def _columns(peak: PeakPrediction | None, mine: Iterable[PredictionRow]) -> PredictedColumns:
    """The predicted step of a trial, and the parts of its predicted peak."""
    return replace(
        PredictedColumns.nothing(),
        predicted_step_ns=_three_anchor_step(mine),
        gradients_bytes=None if peak is None else peak.gradients,
        activations_bytes=None if peak is None else peak.activations,
        workspace_bytes=None if peak is None else peak.workspace + peak.slack,
    )


def _naive(group: PredictedGroup | Unpredicted, row: TrialRow) -> Mapping[str, float | None]:
    """Naive speedups; none for a variant, since they know nothing but what is frozen."""
    if row.variant is not None:
        return {}
    return naive_speedups(
        group.naive,
        frozen_fraction=row.frozen_fraction or 0.0,
        frozen_layers=frozenset(row.frozen_layers),
    )


def _row(
    row: TrialRow, predictor: str, speedup: float | None, floor: float | None, peak: int | None
) -> PredictionRow:
    base_ns = row.baseline_step_ns
    return PredictionRow(
        trial_id=row.trial_id,
        predictor=predictor,
        is_anchor=row.is_anchor,
        predicted_step_ns=round(base_ns / speedup) if speedup and base_ns else None,
        predicted_speedup=speedup,
        measured_speedup=row.speedup,
        noise_floor=floor,
        predicted_peak_bytes=peak,
        measured_peak_bytes=row.judged_peak_bytes,
    )


def _there(sweep: Sweep) -> dict[str, list[PredictionRow]]:
    found: dict[str, list[PredictionRow]] = defaultdict(list)
    for row in sweep.rows(PredictionRow):
        found[row.trial_id].append(row)
    return found


def _three_anchor_step(mine: Iterable[PredictionRow]) -> int | None:
    return next((each.predicted_step_ns for each in mine if each.predictor == THREE_ANCHOR), None)
