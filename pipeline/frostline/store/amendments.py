"""What is computed later of committed trials, as changes of their files.

In: new rows of tables and new values of columns, by trial. Out: the files to write, several trials
at a time, since each write to a disk waits for it; those of the next trials are made while these
are written. Refuses a trial that is not committed, and rows and values that do not fit the schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from frostline.errors import StorageError
from frostline.store.arrow import Rows, TableDefectError, from_parquet, to_parquet, with_columns
from frostline.store.files import FileChange, Files
from frostline.store.publication import checked, replaced
from frostline.store.storage_errors import storage_errors
from frostline.store.table_files import table_file

_TOGETHER = 256
"""Trials that are amended together: their files are in memory meanwhile, some 40 kB each."""

_READERS = 8
"""Rows that are read from a store at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """What is computed later of a committed trial.

    Attributes:
        trial_id: a trial that is committed.
        tables: rows by table, without `trials`; an empty list removes the trial from a table.
        columns: new values in its row of `trials`.
    """

    trial_id: str
    tables: Mapping[str, Rows]
    columns: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amended:
    """The files of one trial that change.

    Attributes:
        tables: of its tables; they may be written in any order.
        row: of its row in `trials`, to be written after them; None: it stays as it is.
    """

    tables: tuple[FileChange, ...]
    row: FileChange | None


def changes_of(files: Files, amendments: Iterable[Amendment]) -> Iterator[list[Amended]]:
    """The changed files of several trials at a time, each trial of which is amended once.

    Raises:
        TableDefectError: rows or values do not fit the schema.
        StorageError: there is no such commit, or it cannot be read.
    """
    waiting = iter(amendments)
    # One thread makes all files: it is Python's own work, which several only hinder each other at.
    with ThreadPoolExecutor(_READERS) as readers, ThreadPoolExecutor(1) as maker:

        def begin() -> list[Future[Amended]]:
            several = list(islice(waiting, _TOGETHER))
            rows = [readers.submit(_committed, files, each.trial_id) for each in several]
            return [
                maker.submit(_amended, files, each, row)
                for each, row in zip(several, rows, strict=True)
            ]

        begun = begin()
        while begun:
            following = begin()
            yield [each.result() for each in begun]
            begun = following


def _committed(files: Files, trial_id: str) -> bytes:
    """The file of a trial's row in `trials`, which commits it."""
    name = table_file("trials", trial_id)
    stored = files.read(name)
    if stored is None:
        raise StorageError(
            f"cannot amend {files.shown}/{name}: it is not there; run the sweep again"
        )
    return stored


def _amended(files: Files, amendment: Amendment, committed: Future[bytes]) -> Amended:
    if "trials" in amendment.tables:
        raise TableDefectError("a row of trials is amended by columns, or published anew")
    content = checked(amendment.trial_id, amendment.tables)
    stored = committed.result()
    tables = tuple(replaced(amendment.trial_id, content))
    if not amendment.columns:
        return Amended(tables=tables, row=None)
    name = table_file("trials", amendment.trial_id)
    with storage_errors("read", f"{files.shown}/{name}", files.scrub):
        row = from_parquet(stored)
    changed = to_parquet(with_columns("trials", row, amendment.columns))
    return Amended(tables=tables, row=FileChange(name=name, source=changed))
