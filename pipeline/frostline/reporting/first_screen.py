"""The first screen of a section: tiles, what to freeze, and a pick for each budget. Pure.

In: a group, its first answer and the evidence. Out: `FirstScreen`: strings ready to be shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from frostline.analyse import GroupSummary
from frostline.recommendation.first_answer import FirstAnswer, first_sentences
from frostline.recommendation.recommendation import Point, kept_words
from frostline.words import (
    DASH,
    duration_ns,
    floor,
    number_ranges,
    percent,
    policy_words,
    ratio,
    share,
)

_RANGES = 8
"""The ranges of layers that a line of the picks lists; its code lists all layers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One figure of the sweep: what it is, its value, and a word on it."""

    name: str
    value: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """The best configuration within a budget.

    Attributes:
        step: the predicted step, as a share of the baseline's and in time.
        speedup: predicted.
        kept: of what matters, what goes on training.
        frozen: numbers of the frozen layers.
        code: Python that freezes them.
        is_half: whether it is the one for half the step time, which is open at first.
    """

    step: str
    speedup: str
    kept: str
    frozen: str
    code: str
    is_half: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstScreen:
    """What stands first: tiles, sentences, picks by budget, and what "matters" means there."""

    tiles: tuple[Tile, ...]
    sentences: tuple[str, ...]
    picks: tuple[Pick, ...]
    matters: str


def first_screen(group: GroupSummary, first: FirstAnswer | None) -> FirstScreen:
    """The first screen of a model and setting; without picks where there is no cost model."""
    found = None if first is None else first.found
    return FirstScreen(
        tiles=tuple(_tiles(group, first)),
        sentences=first_sentences(first, group),
        picks=(
            ()
            if first is None or found is None or group.is_unreadable
            else tuple(_pick(group, first, point) for point in found.frontier)
        ),
        matters="" if found is None else found.importance.words,
    )


def _tiles(group: GroupSummary, first: FirstAnswer | None) -> list[Tile]:
    best, fit = group.best, group.by_fraction
    error = None if first is None else first.error
    step = group.baseline_step_ns
    return [
        Tile(
            name="Baseline step",
            value=DASH if step is None else duration_ns(step),
            about="nothing frozen",
        ),
        Tile(
            name="Best measured",
            value=DASH if best is None else ratio(best.speedup),
            about="no measurable speedup" if best is None else policy_words(best),
        ),
        Tile(
            name="Frozen share explains",
            value=DASH if fit is None else f"{round(100 * fit.r_squared)}%",
            about="too few configurations" if fit is None else "of the speedups' variance",
        ),
        Tile(
            name="Prediction error",
            value=DASH if error is None else percent(error.mean_abs),
            about=(
                "nothing was held out"
                if error is None
                else f"mean of {error.count} held out; {percent(error.max_abs)} at most"
            ),
        ),
        Tile(name="Noise floor", value=floor(group.noise_floor), about="copies of the baseline"),
    ]


def _pick(group: GroupSummary, first: FirstAnswer, point: Point) -> Pick:
    assert first.found is not None
    step = group.baseline_step_ns
    time = "" if step is None else f", {duration_ns(point.share * step)}"
    numbers = first.numbers_of(point.frozen_layers)
    return Pick(
        step=f"{share(point.share)}{time}",
        speedup=ratio(1 / point.share),
        kept=kept_words(point.kept),
        frozen=number_ranges(numbers, _RANGES) or "nothing",
        code=first.code_of(point.frozen_layers),
        is_half=point is first.found.pick,
    )
