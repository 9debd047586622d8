"""Tables of the report that hold trials of several groups: variants, and published speedups. Pure.

In: the groups of a summary, and published points. Out: tables as shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from frostline.analyse import GroupSummary, published_table, variant_comparisons
from frostline.analyse.variant_table import COLUMNS as VARIANT_COLUMNS
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
    groups: Sequence[GroupSummary], published: Sequence[Published]
) -> tuple[ComparedTable, ...]:
    """Models with their variants, each in one table; then published points, where there are any."""
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
    return tuple(found)
