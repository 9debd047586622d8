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
from frostline.reporting.figures.comparison import curves_figure, ratios_figure
from frostline.reporting.figures.figure import Figure
from frostline.reporting.page import rendered
from frostline.reporting.render import refuse_small_limit
from frostline.reporting.section_names import anchor_names
from frostline.reporting.write import report_folder, write_report
from frostline.version import __version__
from frostline.visible import visible_in
from frostline.words import DASH, milliseconds

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
    return _Section(
        anchor=anchor,
        title=group.title,
        figures=tuple(each for each in figures if each is not None),
        sides=tuple(side_words(group)),
        different=difference_words(group),
        sentences=tuple(filter(None, (note_words(group), *outcome_words(group)))),
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
    return (*cells(one), *worth)


def _worth(found: Judgement) -> tuple[str, str]:
    return change(found.ratio) if found.ratio else DASH, found.verdict
