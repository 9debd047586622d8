"""A comparison as Markdown, as GitHub shows it in a workflow's summary or a comment. Pure.

Names of models, layers and policies are the user's: what Markdown or HTML would act on is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from frostline.comparison.comparison import (
    ComparedGroup,
    Comparison,
    Configuration,
    not_judged,
    predicted_cell,
    speedup_cell,
    step_lines,
)
from frostline.comparison.sentences import (
    carried_words,
    change,
    difference_words,
    gate_words,
    headline,
    note_words,
    one_sided_words,
    order_words,
    side_words,
    whole_words,
)
from frostline.comparison.verdict import Judgement
from frostline.visible import visible
from frostline.words import DASH, milliseconds, share

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
    for words in (difference_words(group), note_words(group), *one_sided_words(group)):
        if words:
            yield f"- {_plain(words)}"
    if group.order is not None:
        yield f"- {_plain(order_words(group.order))}"
    if group.carried is not None:
        yield f"- {_plain(carried_words(group.carried))}"
    if group.of_a:
        yield ""
        yield from _table(group)
    if group.baseline is not None:
        yield ""
        yield from _steps(group)


def _table(group: ComparedGroup) -> Iterator[str]:
    yield "| policy | frozen | speedup A | speedup B | B predicted | B / A | verdict |"
    yield "|---|---:|---:|---:|---:|---:|---|"
    for one in group.of_a[:_ROWS]:
        cells = (
            _plain(one.policy),
            share(one.frozen_fraction),
            speedup_cell(one.a),
            speedup_cell(one.b),
            predicted_cell(one),
            *_judged(one),
        )
        yield f"| {' | '.join(cells)} |"
    more = len(group.of_a) - _ROWS
    if more > 0:
        yield f"\n{more} more configurations are not listed here."


def _steps(group: ComparedGroup) -> Iterator[str]:
    yield "| step time | A ms | B ms | pace, B / A | verdict |"
    yield "|---|---:|---:|---:|---|"
    for name, mine, theirs, judged in step_lines(group)[:_ROWS]:
        cells = (_plain(name), milliseconds(mine), milliseconds(theirs), *_worth(judged))
        yield f"| {' | '.join(cells)} |"


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
