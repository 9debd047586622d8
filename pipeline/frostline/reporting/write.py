"""Writes the files of a report below OUT."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from frostline.reporting.content import Section
from frostline.reporting.render import render_figures
from frostline.store.outdir import OutDir

PAGE = "report/index.html"


def write_report(html: str, sections: Iterable[Section], out: OutDir) -> str:
    """Write `OUT/report/index.html` and `OUT/report/figures/*`; remove figures of an older report.

    Args:
        html: the page.
        sections: with the figures.
        out: the sweep's output directory.

    Returns:
        Where the page is, as the user knows it.

    Raises:
        StorageError: OUT cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="frostline-") as scratch:
        folder = Path(scratch)
        figures = folder / "figures"
        figures.mkdir()
        render_figures(sections, figures)
        (folder / "index.html").write_text(html, encoding="utf-8")
        out.put_tree(folder, "report", replace=True)
    return page_of(out)


def page_of(out: OutDir) -> str:
    """Where the page of an OUT is, as the user knows it."""
    return f"{out.address.shown.rstrip('/')}/{PAGE}"
