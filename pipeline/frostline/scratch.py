"""Scratch folders: a private one each, removed with its block, however that ends.

In: nothing. Out: an empty folder for the length of a block. Refuses where none can be made. A
process that is killed cannot tidy up; the next one of the same user on the same machine removes its
folder. It knows such a folder by its name and by its mode, private with the sticky bit, which no
folder of the user's has by chance. A lock on the folder says that it is in use; the kernel drops
the lock with the process.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from frostline.errors import StorageError

LEAST_FREE_BYTES = 64 * 10**6
"""Ray's logs, and the files of a trial until OUT has them."""
_MODE = stat.S_ISVTX | stat.S_IRWXU
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NAMES = tuple(f"{prefix}{'[0-9a-f]' * 6}" for prefix in ("frost-", "frostline-*-"))


@contextmanager
def scratch_folder(base: Path | None = None, *, prefix: str = "frostline-lease-") -> Iterator[Path]:
    """A new, empty folder, removed at the end; those of the dead are removed first.

    Args:
        base: where; default: the folder for temporary files (`TMPDIR`).
        prefix: of its name, which six hexadecimal digits follow: `frost-` or `frostline-WORD-`.

    Raises:
        StorageError: it cannot be made.
    """
    base = base or temporary_folder()
    remove_dead(base)
    try:
        folder, held = _new(base, prefix)
    except OSError as error:
        raise StorageError(
            f"a folder for temporary files cannot be made below {base} ({error.strerror}): free "
            "some space there, or set TMPDIR to another folder"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def remove_dead(base: Path) -> None:
    """Remove the folders of this user's processes that were killed."""
    for pattern in _NAMES:
        for folder in base.glob(pattern):
            with suppress(OSError):
                _remove_if_dead(folder)


def refuse_full(folder: Path) -> None:
    """Raise where a folder's disk has too little room to work in.

    Raises:
        StorageError: it has.
        OSError: there is no such folder.
    """
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise StorageError(
            f"{folder}, for temporary files, has {free // 10**6} MB of free space, and a sweep "
            f"needs {LEAST_FREE_BYTES // 10**6} MB there: free some, or set TMPDIR to another "
            "folder (RAY_TMPDIR for Ray's own files), then run the same command again"
        )


def temporary_folder() -> Path:
    """The folder for temporary files.

    Raises:
        StorageError: there is none that can be written.
    """
    try:
        return Path(tempfile.gettempdir()).absolute()
    except OSError as error:
        raise StorageError(
            "no folder for temporary files can be written: free some space in /tmp, or set TMPDIR "
            f"to another folder ({error})"
        ) from error


def _new(base: Path, prefix: str) -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock."""
    while True:
        folder = base / f"{prefix}{secrets.token_hex(3)}"
        try:
            folder.mkdir(mode=_MODE)
        except FileExistsError:
            continue
        # Until it is locked, another process may take it for one of the dead and remove it.
        with suppress(FileNotFoundError):
            held = os.open(folder, _FOLDER)
            with suppress(BlockingIOError):  # it is being removed, by a process that may hang
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if folder.exists():
                    return folder, held
            os.close(held)


def _remove_if_dead(folder: Path) -> None:
    held = os.open(folder, _FOLDER)
    try:
        seen = os.fstat(held)
        if seen.st_uid == os.getuid() and stat.S_IMODE(seen.st_mode) == _MODE:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(held)
