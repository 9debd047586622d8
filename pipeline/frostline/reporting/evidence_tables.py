"""Tables on what explains the speedup: associations, placement, held-out errors. Pure.

In: a group's summary and evidence. Out: rows as shown, and sentences for the answer; none where
there are too few different configurations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from frostline.analyse import Association, GroupSummary, associate
from frostline.analyse.placement import Level, place_ratios
from frostline.analyse.prediction_error import PredictorError
from frostline.prediction import THREE_ANCHOR
from frostline.reporting.evidence import ReportEvidence
from frostline.reporting.figures.prediction import predictor_label
from frostline.store.trial_row import TrialRow
from frostline.words import counted, interval, percent, ratio, share, signed, span

FRACTION = "frozen_fraction"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationRow:
    """The association of one property of a configuration with its speedup, as shown."""

    name: str
    rho: str
    rho_interval: str
    r_squared: str
    r_squared_interval: str
    trials: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceRow:
    """Two places compared at an equal frozen fraction, as shown."""

    places: str
    ratio: str
    interval: str
    matches: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRow:
    """A predictor's held-out error, as shown."""

    predictor: str
    mean: str
    largest: str
    bias: str
    ordered: str
    trials: int


def association_rows(
    group: GroupSummary, evidence: ReportEvidence, configurations: Sequence[TrialRow]
) -> tuple[AssociationRow, ...]:
    """What explains the speedup, the most familiar properties first.

    `configurations` are the distinct measured ones among the shown trials.
    """
    saved = associate(
        (evidence.flops_saved.get(row.trial_id), row.speedup) for row in configurations
    )
    held_out = associate(
        (each.speedup.predicted, each.speedup.measured)
        for each in evidence.predicted
        if each.predictor == THREE_ANCHOR and not each.is_anchor
    )
    found = (
        ("frozen share of the parameters", group.by_fraction),
        ("first layer that trains", group.by_position),
        ("backward FLOPs saved", saved),
        ("cost model's prediction, held-out configurations only", held_out),
    )
    return tuple(_association(name, each) for name, each in found if each is not None)


def _association(name: str, found: Association) -> AssociationRow:
    return AssociationRow(
        name=name,
        rho=signed(found.rho),
        rho_interval=f"[{signed(found.rho_low)}, {signed(found.rho_high)}]",
        r_squared=f"{found.r_squared:.2f}",
        r_squared_interval=interval(found.r_squared_low, found.r_squared_high),
        trials=found.trials,
    )


def place_rows(found: Sequence[Level]) -> tuple[PlaceRow, ...]:
    """For each pair of places, how much faster the better one is."""
    return tuple(
        PlaceRow(
            places=f"{each.better} / {each.other}",
            ratio=ratio(each.ratio),
            interval=(
                interval(each.low, each.high)
                if each.is_interval
                else span(f"{each.low:.2f}", f"{each.high:.2f}")
            ),
            matches="1 match" if each.matches == 1 else f"{each.matches} matches",
        )
        for each in place_ratios(found)
    )


def error_rows(errors: Iterable[PredictorError]) -> tuple[ErrorRow, ...]:
    """Held-out errors, in the order given."""
    return tuple(
        ErrorRow(
            predictor=predictor_label(each.predictor),
            mean=share(each.error.mean_abs),
            largest=share(each.error.max_abs),
            bias=f"{100 * each.error.bias:+.1f}%",
            ordered=share(each.error.ordered_share),
            trials=each.error.count,
        )
        for each in errors
    )


def evidence_sentences(
    group: GroupSummary, found: Sequence[Level], errors: Iterable[PredictorError]
) -> Iterable[str]:
    """What the evidence adds to the answer."""
    yield from _placement(found)
    by_name = {each.predictor: each.error for each in errors}
    model, naive = by_name.get(THREE_ANCHOR), by_name.get(FRACTION)
    if model is not None:
        floor = group.noise_floor
        noise = f", beside a noise floor of {percent(floor)}" if floor is not None else ""
        than = (
            f"; the rule 1 / (1 - frozen fraction) is off by {percent(naive.mean_abs)}"
            if naive
            else ""
        )
        yield (
            f"The cost model, fitted to the anchors alone, predicts "
            f"{counted(model.count, 'configuration')} that took no part in "
            f"it with a mean error of {percent(model.mean_abs)} (at most "
            f"{percent(model.max_abs)}){noise}{than}."
        )


def _placement(found: Sequence[Level]) -> Iterable[str]:
    clear = [each for each in place_ratios(found) if each.is_interval and each.low > 1]
    if not clear:
        return
    best = Counter(each.better for each in clear).most_common(1)[0][0]
    said = [
        f"{ratio(each.ratio)} {interval(each.low, each.high)} as fast as freezing "
        f"{_place_words(each.other)}"
        for each in clear
        if each.better == best
    ]
    counts = " and ".join(str(each.matches) for each in clear if each.better == best)
    yield (
        f"At an equal frozen fraction, freezing {_place_words(best)} makes a step "
        f"{' and '.join(said)} (median{'s' if len(said) > 1 else ''} of {counts} matched pairs)."
    )


def _place_words(place: str) -> str:
    return {
        "prefix": "the first layers",
        "suffix": "the last layers",
        "scattered": "scattered layers",
    }[place]
