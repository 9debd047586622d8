"""Whether the report below OUT is up to date, so that it need not be drawn again.

In: a sweep. Out: where its report is, if it was drawn from exactly these rows by exactly this
program. `mark` writes down beside a report what it was drawn from; drawing a report removes that.
"""

from __future__ import annotations

import hashlib

from frostline.facts.provenance import program
from frostline.reporting.write import NOTE, PAGE, page_of
from frostline.store.sweep import Sweep

_NOTE = f"report/{NOTE}"


def current_report(sweep: Sweep) -> str | None:
    """Where the report is; None when there is none, or when it is not up to date.

    Raises:
        StorageError: OUT cannot be read.
    """
    if sweep.out.read_text(_NOTE) != _state(sweep) or sweep.out.read_text(PAGE) is None:
        return None
    return page_of(sweep.out)


def mark(sweep: Sweep) -> None:
    """Write down that the report has just been drawn from this sweep.

    Raises:
        StorageError: OUT cannot be written.
    """
    sweep.out.write_text(_NOTE, _state(sweep))


def _state(sweep: Sweep) -> str:
    """Digest of the trials, the manifest and this program."""
    digest = hashlib.sha256(f"{program()}\n{sweep.manifest.text()}".encode())
    for row in sweep.trial_rows():
        digest.update(repr(row).encode())
    return f"{digest.hexdigest()}\n"
