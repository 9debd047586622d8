"""Published speedups beside the measured ones.

In: the published points of a study, and rows of its sweep. Out: a line for each point and setting
in which its configuration was planned; also where nothing was measured, so that no point is lost
without a word. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from frostline.analyse.groups import GroupKey, trial_groups
from frostline.published import Published
from frostline.store.trial_row import TrialRow
from frostline.words import ratio, speedup

COLUMNS = ("configuration", "published", "measured")


def published_rows(
    points: Sequence[Published], rows: Iterable[TrialRow]
) -> Iterator[tuple[Published, str, str]]:
    """Each point, the configuration and setting in words, and what was measured in words."""
    groups = trial_groups(rows)
    for point in points:
        fits = [(each, row) for each in groups for row in _fitting(point, each.key, each.rows)]
        for group, row in fits:
            yield point, f"{point.policy}, {group.title}", _measured(row)
        if not fits:
            yield point, point.policy, "not measured"


def published_cells(
    points: Sequence[Published], rows: Iterable[TrialRow]
) -> list[tuple[str, str, str]]:
    """The lines under `COLUMNS`."""
    return [
        (where, ratio(point.speedup), measured)
        for point, where, measured in published_rows(points, rows)
    ]


def published_sentences(points: Sequence[Published]) -> list[str]:
    """Where each number was published and what differs, each said once."""
    return list(
        dict.fromkeys(f"{point.source}. What differs: {point.differs}." for point in points)
    )


def _fitting(point: Published, key: GroupKey, rows: Sequence[TrialRow]) -> list[TrialRow]:
    if point.model not in (None, key.model) or point.variant != key.variant:
        return []
    if point.strategy not in (None, key.setting.strategy):
        return []
    return [row for row in rows if point.policy in (row.policy, *row.aliases)]


def _measured(row: TrialRow) -> str:
    return (
        speedup(row) if row.status == "ok" else f"failed in {row.error_stage or 'an unknown stage'}"
    )
