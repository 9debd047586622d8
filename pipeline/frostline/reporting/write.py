"""Writes the files of a report below OUT.

`OUT/report/files.txt` lists the figures, so that the next report removes those that it does not
have, and nothing that somebody else has put there.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from frostline.reporting.content import Section
from frostline.reporting.render import render_figures
from frostline.store.outdir import OutDir

PAGE = "report/index.html"
NOTE = "drawn-from.txt"
"""Below `report`: what the report was drawn from; a new report removes it."""
_LIST = "files.txt"
_FIGURE = re.compile(r"figures/[^/]+\.(svg|png)")


def write_report(html: str, sections: Iterable[Section], out: OutDir) -> str:
    """Write `OUT/report/index.html` and `OUT/report/figures/*`; remove figures of an older report.

    Returns:
        Where the page is, as the user knows it.

    Raises:
        StorageError: OUT cannot be written.
    """
    earlier = filter(_FIGURE.fullmatch, (out.read_text(f"report/{_LIST}") or "").splitlines())
    with tempfile.TemporaryDirectory(prefix="frostline-") as scratch:
        folder = Path(scratch)
        figures = folder / "figures"
        figures.mkdir()
        render_figures(sections, figures)
        (folder / "index.html").write_text(html, encoding="utf-8")
        names = sorted(f"figures/{path.name}\n" for path in figures.iterdir())
        (folder / _LIST).write_text("".join(names), encoding="utf-8")
        out.put_tree(folder, "report", stale=(NOTE, *earlier))
    return page_of(out)


def page_of(out: OutDir) -> str:
    """Where the page of an OUT is, as the user knows it."""
    return f"{out.address.shown.rstrip('/')}/{PAGE}"
