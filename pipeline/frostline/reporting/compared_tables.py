"""Tables of the report beside its sections: variants, published speedups, schedules. Pure.

In: the groups of a summary, published points, and what the study's schedule takes. Out: tables as
shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from frostline.analyse import GroupSummary, published_table, variant_comparisons
from frostline.analyse.variant_table import COLUMNS as VARIANT_COLUMNS
from frostline.prediction import ScheduleCost
from frostline.prediction.schedule_words import COLUMNS as SCHEDULE_COLUMNS
from frostline.prediction.schedule_words import schedule_cells, schedule_sentence
from frostline.published import Published
from frostline.words import floor

_MOST_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedTable:
    """A table with its heading, what its columns mean, and sentences below it."""

    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[str, ...]


def compared_tables(
    groups: Sequence[GroupSummary],
    published: Sequence[Published],
    schedules: Sequence[ScheduleCost],
) -> tuple[ComparedTable, ...]:
    """Models with their variants, each in one table; then published points, then schedules."""
    found = [
        ComparedTable(
            title=f"Variants compared: {each.title}",
            caption=(
                "Every variant and configuration over the same plain baseline, fastest first: "
                "parameters that train, measured speedup with its 95% interval, what the cost "
                "model says of it (a star marks an anchor, from which predictions are made), and "
                "memory at the peak, with ~ where it is predicted and was not measured."
            ),
            columns=VARIANT_COLUMNS,
            rows=tuple(each.cells())[:_MOST_ROWS],
            words=(f"{each.words()} Noise floor {floor(each.noise_floor)}.".strip(),),
        )
        for each in variant_comparisons(groups)
    ]
    if published:
        rows = [item.row for group in groups for item in group.trials]
        found.append(
            ComparedTable(
                title="Published",
                caption="Speedups that somebody published, beside what was measured here.",
                columns=published_table.COLUMNS,
                rows=tuple(published_table.published_cells(published, rows)),
                words=tuple(published_table.published_sentences(published)),
            )
        )
    found += [
        ComparedTable(
            title=f"Freezing over time: {cost.title}",
            caption=(
                "The study's schedule, from the cost model: each stage takes its steps, and "
                "compiling its step."
            ),
            columns=SCHEDULE_COLUMNS,
            rows=tuple(schedule_cells(cost)),
            words=(schedule_sentence(cost),),
        )
        for cost in schedules
    ]
    return tuple(found)
