"""Which figures a group gets, and the sentences that replace those that cannot be drawn. Pure.

In: a group with its evidence and the trials that the page shows. Out: figures in the order of the
page, and a sentence for each that has no data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from frostline.analyse import GroupSummary, TrialSummary
from frostline.analyse.busy import busy_fraction
from frostline.analyse.placement import Level, levels, place_of
from frostline.analyse.prediction_error import PredictorError, predictor_errors
from frostline.prediction import THREE_ANCHOR
from frostline.recommendation.first_answer import FirstAnswer
from frostline.reporting.evidence import ReportEvidence
from frostline.reporting.figures.figure import Figure, Rows, told_of
from frostline.reporting.figures.frontier import frontier_figure
from frostline.reporting.figures.layers import layer_costs_figure
from frostline.reporting.figures.placement import placement_figure
from frostline.reporting.figures.prediction import predicted_figure, predictor_errors_figure
from frostline.reporting.figures.resources import energy_figure, memory_figure, memory_time_figure
from frostline.reporting.figures.speedup import speedup_by_depth, speedup_by_fraction, trial_rows
from frostline.reporting.figures.time import Bar, time_figure
from frostline.reporting.page_limits import spread, spread_by
from frostline.reporting.palette import family_of_row
from frostline.store.trial_row import TrialRow
from frostline.words import in_figure, policy_words

MOST_BARS = 40
MOST_LEVELS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A group with what its figures are drawn from.

    Attributes:
        group, evidence: of one model, setting and kind of device.
        trials: those that the page shows.
        rows: the measured ones among them, as the figures show them.
        levels: configurations of different places at about the same frozen fraction.
        errors: held-out error of each predictor.
        first: what to freeze for half the step time; None where it was not asked.
    """

    group: GroupSummary
    evidence: ReportEvidence
    trials: tuple[TrialSummary, ...]
    rows: Rows
    levels: tuple[Level, ...]
    errors: tuple[PredictorError, ...]
    first: FirstAnswer | None

    @staticmethod
    def of(
        group: GroupSummary,
        evidence: ReportEvidence,
        trials: Sequence[TrialSummary],
        first: FirstAnswer | None,
    ) -> Drawing:
        """Prepare a group."""
        return Drawing(
            group=group,
            evidence=evidence,
            trials=tuple(trials),
            rows=trial_rows(
                trials, evidence.order, evidence.predicted_peaks, group.step_ns, _labelled(group)
            ),
            levels=tuple(_levels(group, evidence)),
            errors=predictor_errors(evidence.predicted),
            first=first,
        )

    @property
    def configurations(self) -> tuple[TrialRow, ...]:
        """Distinct measured configurations among the shown trials."""
        there = {item.row.trial_id for item in self.trials}
        return tuple(row for row in self.group.configurations if row.trial_id in there)


def _labelled(group: GroupSummary) -> frozenset[str]:
    """The trials whose points have a label: the fastest, and the pair that the answer names."""
    pair = group.contrast
    named = [group.best] if pair is None else [group.best, pair.faster, pair.slower]
    return frozenset(row.trial_id for row in named if row is not None)


def section_figures(drawing: Drawing) -> tuple[tuple[Figure, ...], dict[str, str]]:
    """The figures of a group, and by heading a sentence for each that cannot be drawn."""
    figures: list[Figure] = []
    words: dict[str, str] = {}
    found = None if drawing.first is None else drawing.first.found
    if found is not None and not drawing.group.is_unreadable:
        figures.append(frontier_figure(drawing.group, drawing.trials, found))
    if drawing.rows:
        figures += _speedups(drawing)
    else:
        words["Speedup"] = "No trial was measured."
    if drawing.levels:
        figures.append(placement_figure(spread(drawing.levels, MOST_LEVELS)))
    figures += _predictions(drawing, words)
    bars = _bars(drawing)
    if bars:
        figures.append(time_figure(bars))
    else:
        words["Where a step's time goes"] = "No trial left a profile."
    if any(value for cost in drawing.evidence.layers for value in cost.shares.values()):
        figures.append(layer_costs_figure(drawing.evidence.layers, _work_ns(drawing.group)))
    else:
        words["What each layer costs"] = "No control left a profile by layer."
    figures += _resources(drawing, words)
    group = drawing.group
    device = f", on {group.device_kind}" if group.device_kind else ""
    about = f"{group.key.label}{device}"
    return tuple(told_of(figure, about) for figure in figures), words


def _work_ns(group: GroupSummary) -> float | None:
    """The part of the baseline's unprofiled step in which ops run."""
    if group.baseline_step_ns is None or group.busy_fraction is None:
        return None
    return group.baseline_step_ns * group.busy_fraction


def _speedups(drawing: Drawing) -> Iterable[Figure]:
    group, rows = drawing.group, drawing.rows
    deepest = max(row["depth"] for row in rows)
    layers = len(drawing.evidence.order) or deepest + 1
    floor = group.noise_floor
    most = None if drawing.first is None else drawing.first.most
    yield speedup_by_fraction(rows, noise_floor=floor, most=most)
    yield speedup_by_depth(rows, layers=layers, noise_floor=floor, most=most)


def _predictions(drawing: Drawing, words: dict[str, str]) -> Iterable[Figure]:
    evidence, floor = drawing.evidence, drawing.group.noise_floor
    why_none = " ".join(evidence.unpredicted)
    trials = {row["id"]: row for row in drawing.rows}
    errors = drawing.errors
    if not errors:
        words["Predicted against measured"] = (
            why_none
            or "No measured configuration was held out: all of them are anchors or controls."
        )
        return
    if any(each.predictor == THREE_ANCHOR for each in errors):
        yield predicted_figure(evidence.predicted, trials, floor)
    else:
        words["Predicted against measured"] = (
            why_none or "There is no prediction of the cost model for these trials."
        )
    yield predictor_errors_figure(evidence.predicted, errors, trials, floor)


def _resources(drawing: Drawing, words: dict[str, str]) -> Iterable[Figure]:
    if any(row["mb"] is not None for row in drawing.rows):
        yield memory_figure(drawing.rows)
    else:
        words["Memory"] = (
            "Not measured: on CPUs it takes a profile of the trial, and this sweep has none of it."
        )
    if any(row["mb"] is not None or row["predicted_mb"] is not None for row in drawing.rows):
        yield memory_time_figure(drawing.rows)
    if any(row["joules"] is not None for row in drawing.rows):
        yield energy_figure(drawing.rows)
    else:
        words["Energy"] = "Not measured: this device counts no energy that the program can read."


def _levels(group: GroupSummary, evidence: ReportEvidence) -> list[Level]:
    if not evidence.order:
        return []
    return levels(group.configurations, lambda row: place_of(row.frozen_layers, evidence.order))


def _bars(drawing: Drawing) -> list[Bar]:
    profiled = [
        item.row for item in drawing.trials if item.row.passes_ns and item.row.speedup is not None
    ]
    controls = [row for row in profiled if row.is_control]
    others = [row for row in profiled if not row.is_control]
    rows = [
        *controls[:3],
        *spread_by(others, MOST_BARS - len(controls[:3]), lambda row: family_of_row(row).name),
    ]
    taken: set[str] = set()
    bars = []
    for row in rows:
        name = in_figure(policy_words(row))
        name = name if name not in taken else f"{name} ({row.trial_id})"
        taken.add(name)
        bars.append(
            Bar(
                policy=name,
                family=family_of_row(row),
                relative_step=1 / (row.speedup or 1.0),
                busy=busy_fraction(row),
                pass_ns=row.passes_ns or {},
            )
        )
    return bars
