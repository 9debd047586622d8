"""Files below OUT, on a local disk or in any store that `pyarrow.fs` opens.

In: the URI of OUT and names relative to it. Out: bytes, listings, and `Batch`: several writes and
removals that are prepared first and then applied in order, each of them atomic. On a local disk a
write is staged under `.staging/`, flushed to the disk and renamed into place; in an object store a
single put is atomic by itself. Refuses names that lead out of OUT. Errors of the system surface as
`StorageError` with the path and what to do (`frostline.store.storage_errors`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from pyarrow.fs import FileSystem

from frostline.errors import DamagedError

Source = bytes | Path
"""What is written: bytes, or the content of a local file."""

Stamp = tuple[int, ...]
"""Changes when a file is replaced; compare for equality only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """A file that is written or replaced; without a source, a file that is removed if it exists."""

    name: str
    source: Source | None


class Files(ABC):
    """A folder and everything below it; names are relative to it, with `/` between the parts.

    Attributes:
        shown: path or URI as messages show it, without credentials.
        filesystem: Arrow's view of the place.
    """

    shown: str
    filesystem: FileSystem

    @property
    @abstractmethod
    def local_root(self) -> Path | None:
        """The folder on this machine's disk; None in an object store."""

    def scrub(self, text: str) -> str:
        """What a library says of this place, without the keys that it may repeat."""
        return text

    @abstractmethod
    def path(self, name: str) -> str:
        """Where a file lies, as `filesystem` takes it."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """The content of a file; None when there is none."""

    @abstractmethod
    def stamps(self, folder: str) -> dict[str, Stamp]:
        """Names of the files directly in a folder, with stamps; empty when it is missing."""

    @abstractmethod
    def entries(self) -> list[str]:
        """Names of the files and folders directly below the root, ascending."""

    @abstractmethod
    def walk(self, folder: str) -> list[str]:
        """Names of all files below a folder, relative to the root, ascending."""

    @abstractmethod
    def batch(self) -> Batch:
        """A new, empty batch of changes."""

    def apply(self, changes: Iterable[FileChange]) -> None:
        """Prepare some changes, then apply them in order.

        Raises:
            StorageError: the place cannot be written.
        """
        with self.batch() as batch:
            for change in changes:
                if change.source is None:
                    batch.remove(change.name)
                else:
                    batch.put(change.name, change.source)

    def apply_in_any_order(self, changes: Iterable[FileChange]) -> None:
        """Prepare and apply changes none of which has to wait for another.

        Raises:
            StorageError: the place cannot be written.
        """
        self.apply(changes)

    @abstractmethod
    def remove_staging(self) -> None:
        """Remove what writers that no longer run had prepared and never applied."""


class Batch(ABC):
    """Changes that are prepared one by one and applied together when the block ends well.

    Use as a context manager. An exception inside the block, a full disk for instance, leaves what
    was published as it was.
    """

    @abstractmethod
    def put(self, name: str, source: Source) -> None:
        """Prepare a file to appear, or to be replaced."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Prepare a file to disappear; one that is not there is fine."""

    @abstractmethod
    def apply(self) -> None:
        """Apply what was prepared, in order."""

    @abstractmethod
    def close(self) -> None:
        """Delete what was prepared and not applied."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.apply()
        finally:
            self.close()


class OutsideError(DamagedError, ValueError):
    """A name, which may come from a table or from another file of OUT, leads out of OUT."""


def checked_name(name: str) -> str:
    """A relative name in normal form.

    Raises:
        OutsideError: it is empty, absolute, or leads out of the folder.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise OutsideError(
            f"{name!r} is not a name below OUT: a file of OUT that says so is damaged, or is not "
            "what Frostline wrote; nothing is read or written there"
        )
    return "/".join(parts)
