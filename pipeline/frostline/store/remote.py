"""OUT in a place that `pyarrow.fs` opens by URI: S3, Google Cloud Storage, Azure, HDFS.

In: the URI, its options in the query (`frostline.store.open_uri`). Out: `RemoteFiles`, or
`LocalFiles` for `file://`. Refuses URIs that Arrow cannot open.

A single put is atomic in an object store, so nothing is staged there. Elsewhere (HDFS) a file is
written under `.staging/` and moved.
"""

from __future__ import annotations

import mimetypes
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType

from frostline.errors import SweepError
from frostline.store.address import Address
from frostline.store.files import (
    Batch,
    FileChange,
    Files,
    Source,
    Stamp,
    checked_name,
)
from frostline.store.local import STAGING, LocalFiles
from frostline.store.open_uri import open_uri
from frostline.store.storage_errors import storage_errors
from frostline.store.waiting import interruptibly

_OBJECT_STORES = frozenset({"s3", "gcs", "abfs"})
_REQUESTS = 16


class RemoteFiles(Files):
    """A prefix in an object store, or a folder of a remote file system."""

    def __init__(self, filesystem: FileSystem, base: str, address: Address) -> None:
        """Take a file system that is open.

        Args:
            filesystem: as Arrow opened it.
            base: path within it, without a slash at its end.
            address: the URI.
        """
        self.filesystem = filesystem
        self.shown = address.shown
        self._address = address
        self._base = base

    @staticmethod
    def open(address: Address, *, create: bool) -> Files:
        """The place that a URI names; see `frostline.store.outdir.OutDir.open`."""
        shown = address.shown
        try:
            filesystem, base = interruptibly(lambda: open_uri(address.reveal()))
        except (ValueError, ImportError, NotImplementedError) as error:
            raise SweepError(
                f"cannot open {shown}: {address.scrub(str(error))}; pass a local path or a "
                "URI such as s3://bucket/folder?region=eu-west-1"
            ) from None
        except OSError as error:
            said = address.scrub(str(error))
            raise SweepError(f"cannot open {shown}: {said}") from None
        if filesystem.type_name == "local":
            if not shown.startswith("file://"):  # Arrow takes what is no URI for a path
                raise SweepError(f"cannot open {shown}: it names no bucket or folder")
            return LocalFiles(Path(base), create=create)
        if not base.strip("/"):
            raise SweepError(f"{shown} names no bucket or folder: pass s3://bucket/folder")
        files = RemoteFiles(filesystem, base.rstrip("/"), address)
        with storage_errors("read", shown, address.scrub):
            (info,) = interruptibly(lambda: filesystem.get_file_info([files._base]))
        if info.type == FileType.File:
            raise SweepError(f"{shown} is a file, not a folder: pass another output folder")
        if not create and info.type == FileType.NotFound:
            raise SweepError(f"{shown} does not exist: pass the place that a sweep wrote (--out)")
        return files

    def scrub(self, text: str) -> str:
        """See `Address.scrub`."""
        return self._address.scrub(text)

    @property
    def local_root(self) -> Path | None:
        """None, because the files are not on this machine's disk."""
        return None

    @property
    def atomic_put(self) -> bool:
        """Whether a file appears whole or not at all when it is written in place."""
        return self.filesystem.type_name in _OBJECT_STORES

    def path(self, name: str) -> str:
        """Path of a file within the file system."""
        return f"{self._base}/{checked_name(name)}"

    def read(self, name: str) -> bytes | None:
        """The content of a file; None when there is none."""
        with storage_errors("read", f"{self.shown}/{name}", self.scrub):
            try:
                with self.filesystem.open_input_file(self.path(name)) as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def stamps(self, folder: str) -> dict[str, Stamp]:
        """Names of the files directly in a folder, with size and time of change."""
        return {
            info.base_name: (info.size, info.mtime_ns or 0)
            for info in self._infos(self.path(folder), recursive=False)
            if info.type == FileType.File
        }

    def entries(self) -> list[str]:
        """Names of the files and folders directly below the root, ascending."""
        return sorted(info.base_name for info in self._infos(self._base, recursive=False))

    def walk(self, folder: str) -> list[str]:
        """Names of all files below a folder, relative to the root, ascending."""
        return sorted(
            info.path.removeprefix(f"{self._base}/")
            for info in self._infos(self.path(folder), recursive=True)
            if info.type == FileType.File
        )

    def batch(self) -> Batch:
        """A new, empty batch of changes."""
        return _RemoteBatch(self)

    def apply_in_any_order(self, changes: Iterable[FileChange]) -> None:
        """Apply changes side by side: each of them takes some round trips."""
        with ThreadPoolExecutor(_REQUESTS) as pool:
            for _ in pool.map(lambda change: self.apply([change]), changes):
                pass

    def remove_staging(self) -> None:
        """Remove everything that is staged; an object store stages nothing."""
        if not self.atomic_put:
            with storage_errors("remove", f"{self.shown}/{STAGING}", self.scrub):
                self.delete_folder(STAGING)

    def delete_folder(self, name: str) -> None:
        """Delete a folder with its content; one that is not there is fine."""
        try:
            self.filesystem.delete_dir(self.path(name))
        except FileNotFoundError:
            return

    def _infos(self, path: str, *, recursive: bool) -> list[FileInfo]:
        with storage_errors("list", self.shown, self.scrub):
            selector = FileSelector(path, recursive=recursive, allow_not_found=True)
            return list(self.filesystem.get_file_info(selector))


class _RemoteBatch(Batch):
    def __init__(self, files: RemoteFiles) -> None:
        self._files = files
        self._staging = f"{STAGING}/{uuid.uuid4().hex}"
        self._changes: list[tuple[str, Source | None]] = []

    def put(self, name: str, source: Source) -> None:
        self._changes.append((checked_name(name), source))

    def remove(self, name: str) -> None:
        self._changes.append((checked_name(name), None))

    def apply(self) -> None:
        for number, (name, source) in enumerate(self._changes):
            target = self._files.path(name)
            shown = f"{self._files.shown}/{name}"
            with storage_errors("remove" if source is None else "write", shown, self._files.scrub):
                if source is None:
                    self._delete(target)
                elif self._files.atomic_put:
                    self._write(target, source)
                else:
                    staged = self._files.path(f"{self._staging}/{number}")
                    self._make_parent(staged)
                    self._write(staged, source)
                    self._make_parent(target)
                    self._delete(target)
                    self._files.filesystem.move(staged, target)

    def close(self) -> None:
        if not self._files.atomic_put:
            with storage_errors("remove", self._files.shown, self._files.scrub):
                self._files.delete_folder(self._staging)

    def _write(self, path: str, source: Source) -> None:
        # Read before the stream opens: closing a stream publishes whatever was written to it.
        if isinstance(source, Path):
            empty = source.stat().st_size == 0
            content = b"" if empty else pa.memory_map(str(source)).read_buffer()
        else:
            content = source
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        stream = self._files.filesystem.open_output_stream(path, metadata={"Content-Type": kind})
        with stream:
            stream.write(content)

    def _make_parent(self, path: str) -> None:
        self._files.filesystem.create_dir(path.rpartition("/")[0], recursive=True)

    def _delete(self, path: str) -> None:
        try:
            self._files.filesystem.delete_file(path)
        except FileNotFoundError:
            return
