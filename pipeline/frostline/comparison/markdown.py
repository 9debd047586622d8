"""A comparison as Markdown, as GitHub shows it in a workflow's summary or a comment. Pure.

Names of models, layers and policies are the user's: what Markdown or HTML would act on is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from frostline.comparison.comparison import (
    COLUMNS,
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
from frostline.visible import visible
from frostline.words import DASH, milliseconds

_ROWS = 200
_ACTS = re.compile(r"([\\`*_{}\[\]<>()#|!~&@])")


def to_markdown(comparison: Comparison) -> str:
    """The comparison as Markdown, ending with a line break."""
    return "\n".join(_lines(comparison)) + "\n"


def _lines(comparison: Comparison) -> Iterator[str]:
    yield "## Frostline: B against A"
    yield ""
    if words := gate_words(comparison):
        yield f"**{_plain(words)}**"
        yield ""
    yield _plain(headline(comparison))
    yield ""
    yield f"- A: {_plain(comparison.a.shown)} ({_plain(comparison.a.study)})"
    yield f"- B: {_plain(comparison.b.shown)} ({_plain(comparison.b.study)})"
    for words in whole_words(comparison):
        yield f"- {_plain(words)}"
    for group in comparison.groups:
        yield from _group(group)


def _group(group: ComparedGroup) -> Iterator[str]:
    yield ""
    yield f"### {_plain(group.title)}"
    yield ""
    for words in side_words(group):
        yield f"- {_plain(words)}"
    for words in (difference_words(group), note_words(group), *outcome_words(group)):
        if words:
            yield f"- {_plain(words)}"
    if group.of_a:
        yield ""
        yield from _table(group)
    if group.baseline is not None:
        yield ""
        yield from _steps(group)


def _table(group: ComparedGroup) -> Iterator[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---|---:|---:|---:|---:|---:|---|"
    for one in group.of_a[:_ROWS]:
        policy, *figures = cells(one)
        yield f"| {' | '.join((_plain(policy), *figures, *_judged(one)))} |"
    more = len(group.of_a) - _ROWS
    if more > 0:
        yield f"\n{more} more configurations are not listed here."


def _steps(group: ComparedGroup) -> Iterator[str]:
    yield "| step time | A ms | B ms | pace, B / A | verdict |"
    yield "|---|---:|---:|---:|---|"
    for name, mine, theirs, judged in step_lines(group)[:_ROWS]:
        row = (_plain(name), milliseconds(mine), milliseconds(theirs), *_worth(judged))
        yield f"| {' | '.join(row)} |"


def _judged(one: Configuration) -> tuple[str, str]:
    return ("", not_judged(one)) if one.speedups is None else _worth(one.speedups)


def _worth(found: Judgement | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    said = found.verdict if found.verdict == "same" else f"**{found.verdict}**"
    return change(found.ratio) if found.ratio else DASH, said


def _plain(text: str) -> str:
    """Text in which nothing is markup."""
    return _ACTS.sub(r"\\\1", visible(text).replace("\n", " "))
