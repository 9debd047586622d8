"""Tables in the terminal that never cut a name: where one is too wide, figures go first.

In: columns, each with its cells. Out: things that Rich prints. A table that does not fit drops its
columns in a given order; the first column holds names, stays, and folds at last. A pipe has room
for everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

_GAP = 1
_LEAST = 16
"""What a column of words may be folded to."""


class FittedTable:
    """A table that fits into the width it is printed at."""

    def __init__(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str | Text]],
        *,
        words: Sequence[int] = (),
        goes: Sequence[int] | None = None,
    ) -> None:
        """Take what it shows.

        Args:
            columns: headings; the first column holds names.
            rows: their cells.
            words: positions of further columns of words: aligned left, folded where they must be.
            goes: positions of columns in the order in which they go where there is no room; by
                default all but the first, from the last on.
        """
        self._columns = list(columns)
        self._rows = [[Text(one) if isinstance(one, str) else one for one in row] for row in rows]
        self._words = {0, *words}
        self._goes = list(range(len(columns) - 1, 0, -1)) if goes is None else list(goes)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, with the columns for which there is room."""
        shown = list(range(len(self._columns)))
        for gone in self._goes:
            if self._least(shown) <= options.max_width:
                break
            shown.remove(gone)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, _GAP, 0, 0), show_edge=False)
        for at in shown:
            if at in self._words:
                least = min(self._least_of(at), options.max_width)
                table.add_column(self._columns[at], overflow="fold", min_width=least)
            else:
                table.add_column(self._columns[at], justify="right", no_wrap=True)
        for row in self._rows:
            table.add_row(*(row[at] for at in shown))
        yield table

    def _least(self, shown: Sequence[int]) -> int:
        """The width that these columns need; words may be folded."""
        return sum(map(self._least_of, shown)) + (_GAP + 1) * (len(shown) - 1)

    def _least_of(self, at: int) -> int:
        cells = [self._columns[at], *(row[at].plain for row in self._rows)]
        width = max(cell_len(line) for cell in cells for line in cell.split("\n"))
        return min(_LEAST, width) if at in self._words else width
