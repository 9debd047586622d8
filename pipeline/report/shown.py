"""What a page of bounded size shows of a sweep of any size. Pure.

In: the trials of a group. Out: those that the page shows. Controls, anchors, the fastest and the
clearest contrast are always among them; the rest is spread evenly over the frozen fraction, so that
a figure keeps its shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pipeline.analyse import GroupSummary, Summary, TrialSummary

TRIALS = 1_000
FAILED = 200
T = TypeVar("T")


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items, evenly spaced, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    if count < 2:
        return list(items[:count])
    step = (len(items) - 1) / (count - 1)
    return [items[round(number * step)] for number in range(count)]


def quota(summary: Summary) -> int:
    """How many measured trials the page shows of each group."""
    return max(20, TRIALS // max(1, len(summary.groups)))


def shown_trials(group: GroupSummary, count: int) -> tuple[TrialSummary, ...]:
    """The trials of a group that the page shows, in the order of the group.

    Args:
        group: the group.
        count: measured trials at most, those that are always shown not counted.
    """
    measured = [item for item in group.trials if item.row.status == "ok"]
    if len(measured) > count:
        special = {row.trial_id for row in (group.best,) if row}
        if group.contrast is not None:
            special |= {group.contrast.faster.trial_id, group.contrast.slower.trial_id}
        always = [
            item
            for item in measured
            if item.row.is_control or item.row.anchor or item.row.trial_id in special
        ]
        kept = {item.row.trial_id for item in (*always, *spread(measured, count))}
        measured = [item for item in measured if item.row.trial_id in kept]
    failed = [item for item in group.trials if item.row.status != "ok"]
    return (*measured, *failed[: min(FAILED, count)])
