"""Where a configuration freezes, and how the places compare at an equal frozen fraction.

In: measured trials and the order of the model's layers. Out: for each pair of places, the ratio of
their speedups over matched configurations; and the matched configurations themselves. A
configuration that freezes only parts of layers (biases, for instance) has no place. Pure.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from frostline.store.trial_row import TrialRow

Place = Literal["prefix", "suffix", "scattered"]
PLACES: tuple[Place, ...] = ("prefix", "scattered", "suffix")

SIMILAR_FRACTION = 0.05
SIMILAR_SHARE = 0.2
_MIN_PAIRS = 5
_RESAMPLES = 2_000
_NEAREST = 20  # candidates looked at for each configuration


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Configurations in different places that freeze about the same fraction.

    Attributes:
        fraction: mean of their frozen fractions.
        trials: one for each of two or three places.
    """

    fraction: float
    trials: Mapping[Place, TrialRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceRatio:
    """Speedup in one place over the speedup in another, at about the same frozen fraction.

    Attributes:
        better, other: the places.
        ratio: median over the matched configurations.
        low, high: 95% bootstrap interval of the median with five matches or more, else the least
            and the largest ratio.
        is_interval: True where `low` and `high` are the bootstrap interval.
        matches: matched configurations.
    """

    better: Place
    other: Place
    ratio: float
    low: float
    high: float
    is_interval: bool
    matches: int


def similar(one: float, other: float) -> bool:
    """Whether two frozen fractions differ by at most 0.05 and at most a fifth of the larger."""
    apart = abs(one - other)
    return apart <= SIMILAR_FRACTION and apart <= SIMILAR_SHARE * max(one, other)


def place_of(frozen_layers: Iterable[str], order: Sequence[str]) -> Place | None:
    """Where a configuration freezes; `order` has all layers of the model, in order of first use.

    Returns:
        `prefix`: the first layers and no other; `suffix`: the last ones, with or without the head;
        `scattered`: any other layers; None where no layer is frozen as a whole.
    """
    frozen = set(frozen_layers)
    flags = [name in frozen for name in order]
    count = sum(flags)
    if not count:
        return None
    if all(flags[:count]):
        return "prefix"
    below_head = flags[:-1]
    ends_at_head = not flags[-1] and all(below_head[len(below_head) - count :])
    return "suffix" if ends_at_head or all(flags[len(flags) - count :]) else "scattered"


def levels(trials: Iterable[TrialRow], place: Callable[[TrialRow], Place | None]) -> list[Level]:
    """Match configurations of different places at about the same fraction; ascending by fraction.

    Each of the distinct measured configurations takes part once. Prefixes are matched with the
    nearest suffix and the nearest scattered configuration. The remaining scattered configurations
    are matched with suffixes.
    """
    left: dict[Place, list[TrialRow]] = {name: [] for name in PLACES}
    for row in sorted(trials, key=_fraction):
        name = place(row)
        if name is not None and row.speedup is not None and row.frozen_fraction is not None:
            left[name].append(row)
    found = []
    for first in PLACES[:-1]:
        others = PLACES[PLACES.index(first) + 1 :]
        matches = {other: _nearest(left[first], left[other]) for other in others}
        for row in left[first]:
            members: dict[Place, TrialRow] = {first: row}
            members |= {
                other: pairs[row.trial_id]
                for other, pairs in matches.items()
                if row.trial_id in pairs
            }
            if len(members) > 1:
                mean = statistics.fmean(_fraction(member) for member in members.values())
                found.append(Level(fraction=mean, trials=members))
                for name, member in members.items():
                    if name != first:
                        left[name] = [each for each in left[name] if each is not member]
    return sorted(found, key=lambda level: level.fraction)


def place_ratios(found: Sequence[Level]) -> list[PlaceRatio]:
    """For each pair of places, how much faster the better one is at an equal frozen fraction."""
    ratios = []
    for one, other in combinations(PLACES, 2):
        each = [
            (level.trials[one].speedup or 0.0) / (level.trials[other].speedup or 1.0)
            for level in found
            if one in level.trials and other in level.trials
        ]
        if each:
            ratios.append(_ratio(one, other, np.array(each)))
    return ratios


def _ratio(one: Place, other: Place, each: NDArray[np.float64]) -> PlaceRatio:
    better, worse = (one, other) if np.median(each) >= 1 else (other, one)
    if better == other:
        each = 1 / each
    enough = each.size >= _MIN_PAIRS
    low, high = float(each.min()), float(each.max())
    if enough:
        drawn = np.random.default_rng(0).integers(each.size, size=(_RESAMPLES, each.size))
        medians = np.median(each[drawn], axis=-1)
        low, high = (float(end) for end in np.quantile(medians, [0.025, 0.975]))
    return PlaceRatio(
        better=better,
        other=worse,
        ratio=float(np.median(each)),
        low=low,
        high=high,
        is_interval=enough,
        matches=each.size,
    )


def _nearest(rows: Sequence[TrialRow], others: Sequence[TrialRow]) -> dict[str, TrialRow]:
    """One-to-one matches of similar fraction, nearest first; by `trial_id` of `rows`."""
    fractions = [_fraction(other) for other in others]
    candidates = []
    for row in rows:
        mine = _fraction(row)
        start = int(np.searchsorted(fractions, mine - SIMILAR_FRACTION))
        stop = int(np.searchsorted(fractions, mine + SIMILAR_FRACTION, side="right"))
        near = sorted(range(start, stop), key=lambda i: abs(fractions[i] - mine))[:_NEAREST]
        candidates += [
            (abs(fractions[i] - mine), row.trial_id, i) for i in near if similar(mine, fractions[i])
        ]
    found: dict[str, TrialRow] = {}
    taken: set[int] = set()
    for _, trial_id, i in sorted(candidates):
        if trial_id not in found and i not in taken:
            found[trial_id] = others[i]
            taken.add(i)
    return found


def _fraction(row: TrialRow) -> float:
    return row.frozen_fraction or 0.0
