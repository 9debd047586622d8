"""Local scratch of leases: a private folder each, removed however the lease ends.

In: nothing. Out: an empty folder for the length of a block. A lease that is killed cannot tidy up;
the next lease on the same machine removes its folder. A lock on the folder says that it is in use;
the kernel drops the lock with the process.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "frostline-lease-"


@contextmanager
def scratch_folder(base: Path | None = None) -> Iterator[Path]:
    """A new, empty folder, removed at the end; those of leases that are dead are removed first.

    Args:
        base: where; default: the folder for temporary files (`TMPDIR`).

    Raises:
        OSError: it cannot be made.
    """
    base = base or Path(tempfile.gettempdir())
    mine = f"{_PREFIX}{os.getuid()}-"
    for folder in base.glob(f"{mine}*"):
        with suppress(OSError):
            _remove_if_dead(folder)
    while True:
        folder = base / f"{mine}{uuid.uuid4().hex[:12]}"
        folder.mkdir(mode=0o700)
        held = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            if not folder.exists():  # another lease took it for one of a dead lease, just now
                continue
            yield folder
            return
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)


def _remove_if_dead(folder: Path) -> None:
    held = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(held)
