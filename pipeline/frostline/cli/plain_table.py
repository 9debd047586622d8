"""A table of figures in the terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

_LEAST = 12
_ENOUGH = 20
_GAP = 2


class PlainTable:
    """A table of cells as they are to be read; the first column folds, the others are figures.

    Where the figures with their intervals (`1.83 [1.81, 1.84]`) leave no room for the first column,
    each interval is below its figure. What is no terminal has room for everything.
    """

    def __init__(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Take headings and cells."""
        self._columns, self._rows = list(columns), [list(row) for row in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, at the width that there is."""
        rows = self._rows
        room = min(_ENOUGH, max((len(row[0]) for row in rows), default=0))
        widths = [max((len(row[at]) for row in rows), default=0) for at in self._figures]
        if max(_LEAST, room) + sum(width + _GAP for width in widths) > options.max_width:
            rows = [[name, *(cell.replace(" [", "\n[") for cell in cells)] for name, *cells in rows]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
        table.add_column(self._columns[0], overflow="fold", min_width=_LEAST)
        for at in self._figures:
            table.add_column(self._columns[at], justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*map(Text, row))
        yield table

    @property
    def _figures(self) -> range:
        return range(1, len(self._columns))
