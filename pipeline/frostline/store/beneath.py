"""Opening what lies below a folder without following a link, at any depth.

In: a folder, and names relative to it. Out: descriptors; what is done through them (`dir_fd`) stays
there, whatever is put in the place of a folder meanwhile. Refuses a link with `OSError` (`ELOOP`)
whose `filename` is the link. The folder itself may be reached through links.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from frostline.store.storage_errors import refuse_special

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a named pipe must not hold the reader up


def split(name: str) -> tuple[str, str]:
    """The folder of a name in normal form (empty: the root), and what is left of it."""
    folder, _, leaf = name.rpartition("/")
    return folder, leaf


def open_folder(root: Path, name: str, *, create: bool = False) -> int:
    """Open a folder below a folder; the caller closes it.

    Args:
        root: the folder.
        name: relative, in normal form; empty: the root itself.
        create: make what is missing.

    Raises:
        OSError: a part of the name is a link, a file, or missing (without `create`).
    """
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for part in name.split("/") if name else ():
        root = root / part
        try:
            if create:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=at)
            below = _opened(part, _FOLDER, at, root)
        finally:
            os.close(at)
        at = below
    return at


@contextmanager
def folder_below(root: Path, name: str, *, create: bool = False) -> Iterator[int]:
    """`open_folder` for the length of a block."""
    at = open_folder(root, name, create=create)
    try:
        yield at
    finally:
        os.close(at)


def read_below(root: Path, name: str) -> bytes:
    """The content of a file.

    Raises:
        OSError: it is a link, lies behind one, or cannot be read.
        DamagedError: it is no regular file.
    """
    folder, leaf = split(name)
    with folder_below(root, folder) as at:
        file = _opened(leaf, _FILE, at, root / name)
    with os.fdopen(file, "rb") as content:
        refuse_special(os.fstat(file).st_mode, str(root / name))
        return content.read()


def listed(at: int, place: Path) -> Iterator[os.DirEntry[str]]:
    """The entries of an open folder.

    Args:
        at: its descriptor.
        place: its path, for messages.

    Raises:
        OSError: an entry is a link.
    """
    with os.scandir(at) as entries:
        for entry in entries:
            if entry.is_symlink():
                raise _link(place / entry.name)
            yield entry


def walk(root: Path, name: str) -> Iterator[str]:
    """Names, relative to the root, of the regular files below a folder.

    Raises:
        OSError: there is a link among them.
    """
    with folder_below(root, name) as at:
        for entry in listed(at, root / name):
            if entry.is_dir(follow_symlinks=False):
                yield from walk(root, f"{name}/{entry.name}")
            elif entry.is_file(follow_symlinks=False):
                yield f"{name}/{entry.name}"


def _opened(name: str, flags: int, at: int, place: Path) -> int:
    try:
        return os.open(name, flags, dir_fd=at)
    except OSError as error:
        error.filename = str(place)
        # With O_DIRECTORY, Linux says of a link that it is no folder.
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(name, at):
            raise _link(place) from error
        raise


def _is_link(name: str, at: int) -> bool:
    with suppress(FileNotFoundError):
        return stat.S_ISLNK(os.lstat(name, dir_fd=at).st_mode)
    return False


def _link(place: Path) -> OSError:
    return OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(place))
