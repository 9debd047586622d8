"""Folders of this user alone, also below one that every user of the machine may write to.

In: a path. Out: whether it is such a folder, or the folder. Refuses what somebody else has put
there: a folder of theirs, a link, or one that they may write to.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from frostline.errors import UsageError


def is_mine(folder: Path) -> bool:
    """Whether there is a folder of this user's, no link, that nobody else can exchange."""
    try:
        seen = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.getuid() and _keeps(folder.parent)


def private_folder(folder: Path, otherwise: str) -> Path:
    """A folder with mode 700; made where it is missing.

    Args:
        folder: its path.
        otherwise: what to do instead of removing what is there, for the message.

    Raises:
        UsageError: there is something else.
        OSError: it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if _keeps(folder.parent):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    if not is_mine(folder) or folder.lstat().st_mode & 0o077:
        raise UsageError(
            f"{folder} should be a folder of yours with mode 700 and is not, or others can put one "
            f"of theirs in its place: remove it, or {otherwise}"
        )
    return folder


def _keeps(folder: Path) -> bool:
    """Whether others cannot exchange what this user has in a folder; a link counts by its owner."""
    seen = folder.lstat()
    return seen.st_uid in (os.getuid(), 0) or bool(seen.st_mode & stat.S_ISVTX)
