"""The files of a report below OUT: computing and rendering happen elsewhere."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipeline.report.render import Report
from pipeline.store.outdir import OutDir

PAGE = "report/index.html"


def write_report(report: Report, out: OutDir) -> str:
    """Write `OUT/report/index.html` and `OUT/report/figures/*`; figures of an older report go.

    Args:
        report: the rendered report.
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
        for figure in report.figures:
            (figures / f"{figure.name}.svg").write_text(figure.svg, encoding="utf-8")
            (figures / f"{figure.name}.png").write_bytes(figure.png)
        (folder / "index.html").write_text(report.html, encoding="utf-8")
        out.put_tree(folder, "report", replace=True)
    return f"{out.uri.rstrip('/')}/{PAGE}"
