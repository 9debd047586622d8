"""Whether the report below OUT shows what is there now, so that it need not be drawn again.

In: a sweep. Out: where its report is, if it was drawn from the very same rows by the very same
program. `mark` notes what a report was drawn from, beside it; drawing a report removes the note.
"""

from __future__ import annotations

import hashlib

from frostline.facts.provenance import program
from frostline.reporting.write import NOTE, PAGE
from frostline.store.sweep import Sweep

_NOTE = f"report/{NOTE}"


def current_report(sweep: Sweep) -> str | None:
    """Where the report is; None when there is none, or one of something else.

    Raises:
        StorageError: OUT cannot be read.
    """
    if sweep.out.read_text(_NOTE) != _state(sweep) or sweep.out.read_text(PAGE) is None:
        return None
    return f"{sweep.out.uri.rstrip('/')}/{PAGE}"


def mark(sweep: Sweep) -> None:
    """Note that the report has just been drawn from this.

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
