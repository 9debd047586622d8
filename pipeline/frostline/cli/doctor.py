"""`frostline doctor`: checks the machine and says what to do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from frostline.cli.console import err, out
from frostline.cli.documents import AsJson, print_document

_MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "problem": ("problem", "red")}


def doctor(
    storage: Annotated[
        str, typer.Option("--out", help="Where a sweep would write: a folder or a URI.")
    ] = ".",
    thorough: Annotated[
        bool,
        typer.Option("--thorough", help="Also profile one op and start an embedded Ray (~20 s)."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check this machine: devices, permission to profile, Ray, storage, versions."""
    from frostline.doctor import judge, observe

    console = out()
    with err().status("looking at this machine"):
        checks = judge(observe(storage, thorough=thorough))
    problems = sum(check.level == "problem" for check in checks)
    warnings = sum(check.level == "warning" for check in checks)
    if as_json:
        found = [asdict(check) for check in checks]
        counts = {"problems": problems, "warnings": warnings, "thorough": thorough}
        print_document("doctor", {**counts, "checks": found})
        raise typer.Exit(1 if problems else 0)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for check in checks:
        words = Text(check.found)
        if check.advice:
            words.append(f"\n→ {check.advice}", style="bold")
        table.add_row(Text(*_MARKS[check.level]), check.name, words)
    console.print(table)
    console.print(
        f"\n{problems} problem(s), {warnings} warning(s). "
        + ("Fix the problems first." if problems else "Ready to measure.")
    )
    if problems:
        raise typer.Exit(1)
