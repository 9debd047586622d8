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
        seen, above = folder.lstat(), folder.parent.lstat()
    except OSError:
        return False
    mine = stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.getuid()
    return mine and bool(above.st_uid in (os.getuid(), 0) or above.st_mode & stat.S_ISVTX)


def private_folder(folder: Path, otherwise: str) -> Path:
    """A folder with mode 700; made where it is missing.

    Args:
        folder: its path.
        otherwise: what to do instead of removing what is there, for the message.

    Raises:
        UsageError: there is something else.
        OSError: it cannot be made.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    if not is_mine(folder) or folder.lstat().st_mode & 0o077:
        raise UsageError(
            f"{folder} should be a folder of yours with mode 700 and is not: remove it, or "
            f"{otherwise}"
        )
    return folder
