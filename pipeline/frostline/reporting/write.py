"""Writes the files of a report below OUT, or into a folder of its own.

`files.txt` beside the page lists the figures, so that the next report removes those that it lacks,
and nothing that somebody else has put there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from os import PathLike

from frostline.errors import UsageError
from frostline.reporting.figures.figure import FigureSection
from frostline.reporting.render import render_figures
from frostline.scratch import scratch_folder
from frostline.store.outdir import OutDir

FOLDER = "report"
_PAGE = "index.html"
PAGE = f"{FOLDER}/{_PAGE}"
NOTE = "drawn-from.txt"
"""Below `report`: what the report was drawn from; a new report removes it."""
_LIST = "files.txt"
_FIGURE = re.compile(r"figures/[^/]+\.(svg|png)")


def write_report(
    html: str, sections: Iterable[FigureSection], out: OutDir, *, folder: str = FOLDER
) -> str:
    """Write `index.html` and `figures/*`; remove figures of an older report.

    Args:
        html: the page.
        sections: with the figures.
        out: the sweep's output directory, or another one.
        folder: below it; empty: that folder itself.

    Returns:
        Where the page is, as the user knows it.

    Raises:
        StorageError: the folder cannot be written.
    """
    below = f"{folder}/" if folder else ""
    earlier = filter(_FIGURE.fullmatch, (out.read_text(f"{below}{_LIST}") or "").splitlines())
    with scratch_folder(prefix="frostline-report-") as drawn:
        figures = drawn / "figures"
        figures.mkdir()
        render_figures(sections, figures)
        (drawn / _PAGE).write_text(html, encoding="utf-8")
        names = sorted(f"figures/{path.name}\n" for path in figures.iterdir())
        (drawn / _LIST).write_text("".join(names), encoding="utf-8")
        out.put_tree(drawn, folder, stale=(NOTE, *earlier))
    return page_of(out, folder)


def report_folder(place: str | PathLike[str]) -> OutDir:
    """Open a folder for a report alone, and make it where it is missing.

    Raises:
        UsageError: it holds files that are no report's.
        StorageError: it cannot be made or reached.
    """
    found = OutDir.open(place, create=True)
    entries = [entry for entry in found.files.entries() if not entry.startswith(".")]
    if entries and _LIST not in entries:
        raise UsageError(
            f"{found.files.shown} holds files that are no report's ({entries[0]}): choose an empty "
            "or a new folder for --out"
        )
    return found


def page_of(out: OutDir, folder: str = FOLDER) -> str:
    """Where the page in a folder below OUT is, as the user knows it."""
    below = f"{folder}/" if folder else ""
    return f"{out.address.shown.rstrip('/')}/{below}{_PAGE}"
