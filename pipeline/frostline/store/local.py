"""OUT on a local disk: every write is staged, flushed and renamed, so readers see whole files only.

In: the folder. Out: `LocalFiles`. Refuses a path that is a file, and (unless told to create it)
one that does not exist. No link below it is followed, neither to read nor to write: what is one, or
lies behind one, is a `StorageError`. Staging folders are named after the host and process that made
them, so that the next run can tell which belong to a process that no longer runs.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from pyarrow.fs import FileSystem, LocalFileSystem

from frostline.errors import SweepError
from frostline.store.beneath import (
    folder_below,
    listed,
    open_folder,
    read_below,
    split,
    walk,
)
from frostline.store.files import Batch, Files, Source, Stamp, checked_name
from frostline.store.storage_errors import refuse_special, storage_errors

STAGING = ".staging"
_FOREIGN_STAGING_KEPT_S = 3600.0
_FLUSHERS = 8
_STAGED = re.compile(r"(?P<host>.+)\.(?P<pid>\d+)\.[0-9a-f]{32}")


class LocalFiles(Files):
    """A folder on this machine's disk, or on one that is mounted here."""

    def __init__(self, root: Path, *, create: bool) -> None:
        """Open the folder.

        Args:
            root: its path.
            create: make it, and what is missing above it.

        Raises:
            SweepError: the path is a file, or does not exist.
            StorageError: it cannot be made.
        """
        self.shown = str(root)
        self.filesystem: FileSystem = LocalFileSystem()
        self._root = root.absolute()
        with storage_errors("open", self.shown):
            for place in (self._root, *self._root.parents):
                if place.exists() and not place.is_dir():
                    raise SweepError(f"{place} is a file, not a folder: pass another output folder")
                if place.is_symlink() and not place.exists():
                    raise SweepError(
                        f"{place} is a link to {place.readlink()}, which does not exist: make that "
                        "folder, or pass another output folder"
                    )
            if create:
                self._root.mkdir(parents=True, exist_ok=True)
            elif not self._root.exists():
                raise SweepError(
                    f"{root} does not exist: pass the folder that a sweep wrote (--out)"
                )

    @property
    def local_root(self) -> Path | None:
        """The folder."""
        return self._root

    def path(self, name: str) -> str:
        """Absolute path of a file."""
        return str(self._root / checked_name(name))

    def read(self, name: str) -> bytes | None:
        """The content of a file; None when there is none."""
        with storage_errors("read", f"{self.shown}/{name}"):
            try:
                return read_below(self._root, checked_name(name))
            except FileNotFoundError:
                return None

    def stamps(self, folder: str) -> dict[str, Stamp]:
        """Names of the files directly in a folder, with inode, size and time of change."""
        found: dict[str, Stamp] = {}
        with (
            storage_errors("list", f"{self.shown}/{folder}"),
            suppress(FileNotFoundError),
            folder_below(self._root, checked_name(folder)) as at,
        ):
            for entry in listed(at, self._root / folder):
                with suppress(FileNotFoundError):  # replaced while it was listed
                    stat = entry.stat(follow_symlinks=False)
                    refuse_special(stat.st_mode, f"{self.shown}/{folder}/{entry.name}")
                    # A replaced file may have the same size within one tick of the clock; it
                    # always is another inode.
                    found[entry.name] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        return found

    def entries(self) -> list[str]:
        """Names of the files and folders directly below the root, ascending."""
        with storage_errors("list", self.shown):
            return sorted(path.name for path in self._root.iterdir())

    def walk(self, folder: str) -> list[str]:
        """Names of all files below a folder, relative to the root, ascending."""
        with storage_errors("list", f"{self.shown}/{folder}"), suppress(FileNotFoundError):
            return sorted(walk(self._root, checked_name(folder)))
        return []

    def batch(self) -> Batch:
        """A new, empty batch of changes."""
        return _LocalBatch(self._root, self.shown)

    def remove_staging(self) -> None:
        """Remove staging folders of this host's dead processes, and old ones of other hosts."""
        with (
            storage_errors("remove", f"{self.shown}/{STAGING}"),
            suppress(FileNotFoundError),
            folder_below(self._root, STAGING) as at,
        ):
            for entry in listed(at, self._root / STAGING):
                if not _in_use(entry):
                    shutil.rmtree(entry.name, dir_fd=at, ignore_errors=True)

    def delete_folder(self, name: str) -> None:
        """Delete a folder with its content; one that is not there is fine."""
        parent, leaf = split(checked_name(name))
        with (
            storage_errors("remove", f"{self.shown}/{name}"),
            suppress(FileNotFoundError),
            folder_below(self._root, parent) as at,
        ):
            shutil.rmtree(leaf, dir_fd=at)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """A file that appears under its name, or one that goes (`staged` is None)."""

    name: str
    staged: str | None


class _LocalBatch(Batch):
    """Holds the folders that it changes open: nothing put in their place meanwhile is touched."""

    def __init__(self, root: Path, shown: str) -> None:
        self._root = root
        self._shown = shown
        self._folder = f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex}"
        self._changes: list[_Change] = []
        self._open: dict[str, int] = {}

    def put(self, name: str, source: Source) -> None:
        name = checked_name(name)
        staged = str(len(self._changes))
        with storage_errors("write", f"{self._shown}/{name}"):
            new = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            descriptor = os.open(staged, new, 0o666, dir_fd=self._staging())
            with os.fdopen(descriptor, "wb") as out:
                if isinstance(source, bytes):
                    out.write(source)
                else:
                    with source.open("rb") as content:
                        shutil.copyfileobj(content, out, 1 << 20)
            self._at(split(name)[0], create=True)
        self._changes.append(_Change(name=name, staged=staged))

    def remove(self, name: str) -> None:
        name = checked_name(name)
        with storage_errors("remove", f"{self._shown}/{name}"), suppress(FileNotFoundError):
            self._at(split(name)[0])
        self._changes.append(_Change(name=name, staged=None))

    def apply(self) -> None:
        _flush([
            (self._staging(), each.staged, f"{self._shown}/{each.name}")
            for each in self._changes
            if each.staged is not None
        ])  # fmt: skip
        changed: dict[str, tuple[int, str, str]] = {}
        for number, each in enumerate(self._changes):
            if number == len(self._changes) - 1:  # the last one is the commit
                _flush(list(changed.values()))
                changed.clear()
            folder, leaf = split(each.name)
            if folder not in self._open:  # there is nothing to remove
                continue
            at = self._open[folder]
            shown = f"{self._shown}/{each.name}"
            with storage_errors("remove" if each.staged is None else "write", shown):
                if each.staged is not None:
                    os.replace(each.staged, leaf, src_dir_fd=self._staging(), dst_dir_fd=at)
                else:
                    try:
                        os.unlink(leaf, dir_fd=at)
                    except FileNotFoundError:  # nothing has changed
                        continue
            changed[folder] = (at, ".", f"{self._shown}/{folder}")
        _flush(list(changed.values()))

    def close(self) -> None:
        if STAGING in self._open:
            shutil.rmtree(self._folder, dir_fd=self._open[STAGING], ignore_errors=True)
        while self._open:
            os.close(self._open.popitem()[1])

    def _at(self, folder: str, *, create: bool = False) -> int:
        if folder not in self._open:
            self._open[folder] = open_folder(self._root, folder, create=create)
        return self._open[folder]

    def _staging(self) -> int:
        self._at(STAGING, create=True)
        return self._at(f"{STAGING}/{self._folder}", create=True)


def _flush(places: Sequence[tuple[int, str, str]]) -> None:
    """Make files, or renames in folders, durable before what follows.

    They are flushed in parallel: a file system writes what is flushed at the same time to its
    journal at once, and flushing one after the other takes several times as long.

    Args:
        places: an open folder, the name in it (`.`: itself), and its name in messages.
    """
    if len(places) < 2:
        for place in places:
            _flush_one(*place)
        return
    with ThreadPoolExecutor(min(_FLUSHERS, len(places))) as pool:
        for _ in pool.map(lambda place: _flush_one(*place), places):
            pass


def _flush_one(at: int, name: str, shown: str) -> None:
    with storage_errors("write", shown):
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=at)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _in_use(staging: os.DirEntry[str]) -> bool:
    """Whether a folder is none that a batch made, or its process may still need it."""
    made = _STAGED.fullmatch(staging.name)
    if made is None:
        return True
    if made["host"] == socket.gethostname():
        return psutil.pid_exists(int(made["pid"]))
    try:
        changed_s = staging.stat(follow_symlinks=False).st_mtime
    except FileNotFoundError:
        return True
    return time.time() - changed_s < _FOREIGN_STAGING_KEPT_S
