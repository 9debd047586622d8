"""OUT on a local disk: every write is staged, flushed and renamed, so readers see whole files only.

In: the folder. Out: `LocalFiles`. Refuses a path that is a file, and (unless told to create it)
one that does not exist. Staging folders are named after the host and process that made them, so
that the next run can tell what is left of a dead one.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from pyarrow.fs import FileSystem, LocalFileSystem

from frostline.errors import SweepError
from frostline.store.files import Batch, Files, Source, Stamp, checked_name
from frostline.store.storage_errors import refuse_special, storage_errors

STAGING = ".staging"
_FOREIGN_STAGING_KEPT_S = 3600.0
_FLUSHERS = 8


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
            try:  # a pipe must not hold the reader up before it is seen to be one
                file = os.open(self.path(name), os.O_RDONLY | os.O_NONBLOCK)
            except FileNotFoundError:
                return None
            with os.fdopen(file, "rb") as content:
                refuse_special(os.fstat(file).st_mode, f"{self.shown}/{name}")
                return content.read()

    def stamps(self, folder: str) -> dict[str, Stamp]:
        """Names of the files directly in a folder, with inode, size and time of change."""
        found: dict[str, Stamp] = {}
        with storage_errors("list", f"{self.shown}/{folder}"):
            try:
                with os.scandir(self.path(folder)) as entries:
                    for entry in entries:
                        try:
                            stat = entry.stat()
                        except FileNotFoundError:  # replaced while it was listed
                            continue
                        refuse_special(stat.st_mode, f"{self.shown}/{folder}/{entry.name}")
                        # A replaced file may have the same size within one tick of the clock; it
                        # always is another inode.
                        found[entry.name] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            except FileNotFoundError:
                return {}
        return found

    def entries(self) -> list[str]:
        """Names of the files and folders directly below the root, ascending."""
        with storage_errors("list", self.shown):
            return sorted(path.name for path in self._root.iterdir())

    def walk(self, folder: str) -> list[str]:
        """Names of all files below a folder, relative to the root, ascending."""
        with storage_errors("list", f"{self.shown}/{folder}"):
            return sorted(
                path.relative_to(self._root).as_posix()
                for path in Path(self.path(folder)).rglob("*")
                if path.is_file()
            )

    def batch(self) -> Batch:
        """A new, empty batch of changes."""
        return _LocalBatch(self._root, self.shown)

    def remove_staging(self) -> None:
        """Remove staging folders of this host's dead processes, and old ones of other hosts."""
        staging = self._root / STAGING
        with storage_errors("remove", str(staging)):
            folders = list(staging.iterdir()) if staging.exists() else []
        for folder in folders:
            if not _in_use(folder):
                shutil.rmtree(folder, ignore_errors=True)


class _LocalBatch(Batch):
    def __init__(self, root: Path, shown: str) -> None:
        self._root = root
        self._shown = shown
        name = f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex}"
        self._staging = root / STAGING / name
        self._changes: list[tuple[Path | None, Path]] = []  # (staged, None: remove; target)

    def put(self, name: str, source: Source) -> None:
        target = self._root / checked_name(name)
        staged = self._staging / str(len(self._changes))
        with storage_errors("write", f"{self._shown}/{name}"):
            self._staging.mkdir(parents=True, exist_ok=True)
            with staged.open("wb") as out:
                if isinstance(source, bytes):
                    out.write(source)
                else:
                    with source.open("rb") as content:
                        shutil.copyfileobj(content, out, 1 << 20)
            target.parent.mkdir(parents=True, exist_ok=True)
        self._changes.append((staged, target))

    def remove(self, name: str) -> None:
        self._changes.append((None, self._root / checked_name(name)))

    def apply(self) -> None:
        _flush({staged: target for staged, target in self._changes if staged is not None})
        folders: dict[Path, Path] = {}
        for number, (staged, target) in enumerate(self._changes):
            if number == len(self._changes) - 1:  # the last one is the commit
                _flush(folders)
                folders.clear()
            with storage_errors("remove" if staged is None else "write", str(target)):
                if staged is not None:
                    staged.replace(target)
                else:
                    try:
                        target.unlink()
                    except FileNotFoundError:  # nothing has changed
                        continue
            folders[target.parent] = target.parent
        _flush(folders)

    def close(self) -> None:
        shutil.rmtree(self._staging, ignore_errors=True)


def _flush(places: Mapping[Path, Path]) -> None:
    """Make files, or renames in folders, durable before what follows.

    Side by side: a file system puts what is flushed at the same time into one write of its journal,
    and one after the other takes several times as long.

    Args:
        places: what to flush, and what to call it in messages.
    """
    if len(places) < 2:
        for place, shown in places.items():
            _flush_one(place, shown)
        return
    with ThreadPoolExecutor(min(_FLUSHERS, len(places))) as pool:
        for _ in pool.map(_flush_one, places.keys(), places.values()):
            pass


def _flush_one(place: Path, shown: Path) -> None:
    with storage_errors("write", str(shown)):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _in_use(staging: Path) -> bool:
    """Whether the process that made a staging folder may still need it."""
    host, _, rest = staging.name.rpartition(".")[0].rpartition(".")
    if host == socket.gethostname() and rest.isdigit():
        return psutil.pid_exists(int(rest))
    try:
        return time.time() - staging.stat().st_mtime < _FOREIGN_STAGING_KEPT_S
    except FileNotFoundError:
        return False
