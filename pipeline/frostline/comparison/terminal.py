"""A comparison in the terminal: a table for each model and setting, then what it comes to. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from frostline.comparison.comparison import (
    ComparedGroup,
    Comparison,
    Configuration,
    cells,
    not_judged,
    step_lines,
)
from frostline.comparison.sentences import (
    change,
    difference_words,
    gate_words,
    headline,
    note_words,
    outcome_words,
    side_words,
    whole_words,
)
from frostline.comparison.verdict import Judgement
from frostline.words import DASH, milliseconds

_STYLES = {"slower": "red", "faster": "green", "same": "dim", "cannot tell": "yellow"}
_ROWS = 100


def rendered(comparison: Comparison) -> RenderableType:
    """The whole comparison; eighty columns are enough."""
    return Group(*_parts(comparison))


def _parts(comparison: Comparison) -> Iterator[RenderableType]:
    yield Text.assemble(("A  ", "bold"), comparison.a.shown)
    yield Text.assemble(("B  ", "bold"), comparison.b.shown)
    for words in whole_words(comparison):
        yield Text(words)
    for group in comparison.groups:
        yield from _group(group)
    yield Text(f"\n{headline(comparison)}", style="bold")
    if comparison.judgements:
        yield Text(
            "B / A is the ratio of the speedups as a change, with its 95% interval: from the "
            "intervals of both speedups and the controls of both sweeps.",
            style="dim",
        )
    if words := gate_words(comparison):
        style = {0: "bold green", 1: "bold red"}.get(comparison.exit_code, "bold yellow")
        yield Text(words, style=style)


def _group(group: ComparedGroup) -> Iterator[RenderableType]:
    yield Text(f"\n{group.title}", style="bold")
    for words in side_words(group):
        yield Text(words, style="dim")
    for words in (difference_words(group), note_words(group)):
        if words:
            yield Text(words, style="yellow" if words == difference_words(group) else "")
    if group.of_a:
        yield _table(group)
    if group.baseline is not None:
        yield _steps(group)
    for words in outcome_words(group):
        yield Padding(Text(words), (0, 0, 0, 2), expand=False)


def _table(group: ComparedGroup) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("policy", overflow="fold", min_width=12)
    for name in ("frozen", "A", "B", "B\npredicted"):
        table.add_column(name, justify="right", no_wrap=True)
    if not group.differences:
        table.add_column("B / A", justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
    for one in group.of_a[:_ROWS]:
        row = [Text(each) for each in cells(one)]
        if not group.differences:
            row += _judged(one)
        table.add_row(*row)
    more = len(group.of_a) - _ROWS
    if more > 0:
        table.caption = f"and {more} more; --json lists every one"
    return table


def _judged(one: Configuration) -> list[Text]:
    if one.speedups is None:
        return [Text(""), Text(not_judged(one), style="dim")]
    return _worth(one.speedups)


def _worth(found: Judgement | None) -> list[Text]:
    if found is None:
        return [Text(""), Text("")]
    said = Text(found.verdict, style=_STYLES[found.verdict])
    return [Text(change(found.ratio) if found.ratio else DASH), said]


def _steps(group: ComparedGroup) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("step time", overflow="fold", min_width=12)
    for name in ("A ms", "B ms", "pace, B / A"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for name, a_ns, b_ns, judged in step_lines(group)[:_ROWS]:
        row = (Text(each) for each in (name, milliseconds(a_ns), milliseconds(b_ns)))
        table.add_row(*row, *_worth(judged))
    return table
