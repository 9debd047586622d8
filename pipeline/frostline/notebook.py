"""How the public objects show themselves: one line for `repr`, HTML for notebooks. Pure.

In: text, much of it the user's (names of models, layers and policies, error messages). Out: HTML in
which every such text is escaped. Of long tables the first rows are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from frostline.visible import visible

MOST_ROWS = 60

_LEFT = "text-align:left;white-space:pre-wrap"
_RIGHT = "text-align:right"


def one_line(kind: str, subject: str, facts: Mapping[str, str]) -> str:
    """A `repr`: `<Sweep demo-out: study demo; trials 15 ok, 0 failed>`."""
    said = "; ".join(f"{name} {value}" for name, value in facts.items())
    return visible(f"<{kind} {subject}: {said}>").replace("\n", "\\n")


def html_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str = "",
    words: Sequence[int] = (0,),
) -> str:
    """A table.

    Args:
        columns: headings.
        rows: cells as they are to be read, one for each column.
        caption: what stands above it.
        words: positions of the columns that hold text; the others hold numbers.
    """
    styles = [_LEFT if number in words else _RIGHT for number in range(len(columns))]
    parts = ["<table>", f"<caption>{_shown(caption)}</caption>" if caption else ""]
    parts += ["<thead>", _row("th", columns, styles), "</thead><tbody>"]
    parts += [_row("td", row, styles) for row in rows[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        parts.append(
            f'<tr><td colspan="{len(columns)}">and {len(rows) - MOST_ROWS} more rows</td></tr>'
        )
    return "".join([*parts, "</tbody></table>"])


def html_facts(caption: str, facts: Mapping[str, str]) -> str:
    """A table of names and values under a caption."""
    rows = list(facts.items())
    return html_table(("", ""), rows, caption=caption, words=(0, 1))


def html_text(text: str, tag: str = "p") -> str:
    """Text in an element, `p` or `pre`."""
    return f"<{tag}>{_shown(text)}</{tag}>"


def _shown(text: str) -> str:
    return escape(visible(text))


def _row(tag: str, cells: Sequence[str], styles: Sequence[str]) -> str:
    filled = (
        f'<{tag} style="{style}">{_shown(cell)}</{tag}>'
        for cell, style in zip(cells, styles, strict=True)
    )
    return f"<tr>{''.join(filled)}</tr>"
