"""Which trials of a sweep of any size a page of bounded size shows. Pure.

In: the trials of a group. Out: those that the page shows. Controls, anchors, the fastest trial and
the clearest contrast are always among them. The rest is taken evenly from the families of policies,
and within a family evenly over the frozen fraction. So ten thousand random draws do not crowd out a
hundred prefixes, and a figure keeps its shape.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from frostline.analyse import GroupSummary, Summary, TrialSummary
from frostline.reporting.palette import family_of_row

TRIALS = 1_000
FAILED = 200
T = TypeVar("T")


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` of the items, evenly spaced, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    if count < 2:
        return list(items[: max(0, count)])
    step = (len(items) - 1) / (count - 1)
    return [items[round(number * step)] for number in range(count)]


def spread_by(items: Sequence[T], count: int, kind: Callable[[T], Hashable]) -> list[T]:
    """At most `count` of the items, evenly from each kind, in the order given.

    The part that a small kind does not use goes to the larger kinds.
    """
    kinds: dict[Hashable, list[int]] = {}
    for number, item in enumerate(items):
        kinds.setdefault(kind(item), []).append(number)
    kept: list[int] = []
    for position, numbers in enumerate(sorted(kinds.values(), key=len)):
        kept += spread(numbers, (count - len(kept)) // (len(kinds) - position))
    return [items[number] for number in sorted(kept)]


def quota(summary: Summary) -> int:
    """How many measured trials the page shows of each group."""
    return max(20, TRIALS // max(1, len(summary.groups)))


def shown_trials(group: GroupSummary, count: int) -> tuple[TrialSummary, ...]:
    """The trials of a group that the page shows, in the order of the group.

    Of the measured ones they are `count` at the most, beside those that are always shown.
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
        others = spread_by(measured, count, lambda item: family_of_row(item.row).name)
        kept = {item.row.trial_id for item in (*always, *others)}
        measured = [item for item in measured if item.row.trial_id in kept]
    failed = [item for item in group.trials if item.row.status != "ok"]
    return (*measured, *failed[: min(FAILED, count)])
