"""Copies of recorded sweeps, which may be read-only, to work on."""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def writable_copy(sweep: Path) -> Iterator[Path]:
    """A copy of an OUT that may be written to; gone after the block."""
    with tempfile.TemporaryDirectory(prefix="frostline-bench-") as scratch:
        copy = Path(scratch) / sweep.name
        shutil.copytree(sweep, copy)
        for each in (copy, *copy.rglob("*")):
            each.chmod(each.stat().st_mode | stat.S_IWUSR)
        yield copy
