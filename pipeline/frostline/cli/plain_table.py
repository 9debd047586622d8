"""A table of figures in the terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

WIDTH = 80
"""The columns of a terminal that are enough for every table."""
_LEAST = 12
_ENOUGH = 20
_GAP = 2


def plain_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table of cells as they are to be read; the first column folds, the others are figures.

    Where the figures with their intervals (`1.83 [1.81, 1.84]`) leave no room for the first column,
    each interval is below its figure.
    """
    rows = list(rows)
    first, *figures = columns
    room = min(_ENOUGH, max((len(row[0]) for row in rows), default=0))
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(1, len(columns))]
    if max(_LEAST, room) + sum(width + _GAP for width in widths) > WIDTH:
        rows = [(name, *(cell.replace(" [", "\n[") for cell in cells)) for name, *cells in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column(first, overflow="fold", min_width=_LEAST)
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
