"""The page of a comparison: both curves, every configuration with its verdict, what it comes to.

In: `Comparison`. Out: one self-contained page like that of a report, and its figures as SVG and PNG
beside it, in a folder of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

from frostline.comparison import Comparison
from frostline.comparison.comparison import (
    ComparedGroup,
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
from frostline.reporting.figures.comparison import curves_figure, ratios_figure
from frostline.reporting.figures.figure import Figure
from frostline.reporting.page import rendered
from frostline.reporting.render import refuse_small_limit
from frostline.reporting.section_names import anchor_names
from frostline.reporting.write import report_folder, write_report
from frostline.version import __version__
from frostline.visible import visible_in
from frostline.words import DASH, milliseconds, share

_ROWS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """A model under a setting, as shown.

    Attributes:
        anchor, title, figures: as in a report's section.
        sides: where each sweep measured it.
        different: that the work is not the same; empty where it is.
        sentences: what it comes to.
        rows: configurations of A: policy, frozen, A, B, predicted, change, verdict.
        steps: step times, where they are judged: name, A, B, change, verdict.
        left_out: configurations that the table does not show.
    """

    anchor: str
    title: str
    figures: tuple[Figure, ...]
    sides: tuple[str, ...]
    different: str
    sentences: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    steps: tuple[tuple[str, ...], ...]
    left_out: int


def report_comparison(comparison: Comparison, out: str | PathLike[str]) -> str:
    """Write the page of a comparison, and its figures.

    Args:
        comparison: what `frostline.compare` gave.
        out: folder or URI for it; made where it is missing.

    Returns:
        Path or URI of the page.

    Raises:
        UsageError: `out` holds files that are no report's, or `ulimit -v` forbids to draw.
        StorageError: it cannot be written.
    """
    refuse_small_limit()
    place = report_folder(out)
    names = anchor_names([(group.model, group.title) for group in comparison.groups])
    sections = visible_in(
        [
            _section(group, anchor, comparison.margin)
            for group, anchor in zip(comparison.groups, names, strict=True)
        ]
    )
    page = rendered(
        "comparison.html.j2",
        sections,
        comparison=visible_in(comparison),
        headline=headline(comparison),
        gate=visible_in(gate_words(comparison)),
        whole=visible_in(tuple(whole_words(comparison))),
        version=__version__,
    )
    return write_report(page, sections, place, folder="")


def _section(group: ComparedGroup, anchor: str, margin: float) -> _Section:
    figures = (curves_figure(group), ratios_figure(group, margin))
    sentences = [note_words(group), *one_sided_words(group)]
    if group.order is not None:
        sentences.append(order_words(group.order))
    if group.carried is not None:
        sentences.append(carried_words(group.carried))
    elif group.not_carried:
        sentences.append(f"Nothing is predicted for B: {group.not_carried}.")
    return _Section(
        anchor=anchor,
        title=group.title,
        figures=tuple(each for each in figures if each is not None),
        sides=tuple(side_words(group)),
        different=difference_words(group),
        sentences=tuple(filter(None, sentences)),
        rows=tuple(map(_row, group.of_a[:_ROWS])),
        steps=tuple(
            (name, milliseconds(a_ns), milliseconds(b_ns), *_worth(judged))
            for name, a_ns, b_ns, judged in step_lines(group)[:_ROWS]
            if judged is not None
        ),
        left_out=max(0, len(group.of_a) - _ROWS),
    )


def _row(one: Configuration) -> tuple[str, ...]:
    worth = ("", not_judged(one)) if one.speedups is None else _worth(one.speedups)
    return (
        one.policy,
        share(one.frozen_fraction),
        speedup_cell(one.a),
        speedup_cell(one.b),
        predicted_cell(one),
        *worth,
    )


def _worth(found: Judgement) -> tuple[str, str]:
    return change(found.ratio) if found.ratio else DASH, found.verdict
