"""Reading tables back: the commits of a sweep, and the rows of its committed trials.

In: the files of OUT. Out: status by trial, and rows with the schema of this version; columns that
older files lack read as null. Refuses files that are no Parquet, and values that no sweep writes
(`frostline.store.validate`), naming the file. Files on a local disk are scanned by DuckDB
(`frostline.store.duckdb_scan`), others through an Arrow dataset.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from frostline.errors import DamagedError, StorageError
from frostline.store.arrow import reader_schema
from frostline.store.duckdb_scan import read_scanned, scannable
from frostline.store.files import Files, Stamp
from frostline.store.storage_errors import storage_error
from frostline.store.table_files import (
    file_name,
    table_file,
    table_folder,
    trial_of,
    trials_among,
)
from frostline.store.validate import ADVICE, refuse_damaged, refuse_foreign

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset

_DISK_READERS = 4
_STORE_READERS = 32  # a store answers slowly and in parallel


class CommitIndex:
    """Status by trial, kept up to date by reading only the files that are new or replaced.

    Reading 10,000 trials for the first time takes a few seconds; later calls take one listing.
    """

    def __init__(self, files: Files) -> None:
        """Index the `trials` files of an OUT; nothing is read yet."""
        self._files = files
        self._known: dict[str, tuple[Stamp, str]] = {}

    def commits(self) -> dict[str, str]:
        """`ok` or `failed` by `trial_id`, ascending.

        Raises:
            StorageError: a file cannot be read; names it.
        """
        found = self._files.stamps(table_folder("trials"))
        stamps = {trial_id: found[file_name(trial_id)] for trial_id in trials_among(found)}
        known = {
            trial_id: self._known[trial_id]
            for trial_id, stamp in stamps.items()
            if trial_id in self._known and self._known[trial_id][0] == stamp
        }
        fresh = [trial_id for trial_id in stamps if trial_id not in known]
        readers = _DISK_READERS if self._files.local_root else _STORE_READERS
        with ThreadPoolExecutor(readers) as pool:
            for trial_id, status in zip(fresh, pool.map(self.status, fresh), strict=True):
                if status is not None:
                    known[trial_id] = (stamps[trial_id], status)
        self._known = known
        return {trial_id: known[trial_id][1] for trial_id in sorted(known)}

    def status(self, trial_id: str) -> str | None:
        """The status in one file; None when there is none, or a retry has just withdrawn it."""
        name = table_file("trials", trial_id)
        shown = f"{self._files.shown}/{name}"
        content = self._files.read(name)
        if content is None:
            return None
        try:
            file = pq.ParquetFile(pa.BufferReader(content))
            statuses = file.read(columns=["status"], use_threads=False)["status"].to_pylist()
        except (OSError, pa.ArrowException, KeyError) as error:
            raise unread(self._files, shown, error) from None
        if len(statuses) != 1:
            raise _damaged(shown, f"{len(statuses)} rows instead of one")
        return str(statuses[0])


def row_files(files: Files, table: str, trial_ids: Iterable[str]) -> list[str]:
    """Paths of the files with the rows of some trials in a table; ascending, existing files only.

    Args:
        files: OUT.
        table: a key of `frostline.store.schema.TABLES`.
        trial_ids: the trials.
    """
    there = files.stamps(table_folder(table))
    folder = files.path(table_folder(table))
    names = map(file_name, sorted(trial_ids))
    return [f"{folder}/{name}" for name in names if name in there]


def scanned(files: Files, paths: Sequence[str]) -> bool:
    """Whether DuckDB reads these files itself."""
    return files.local_root is not None and scannable(paths)


def dataset_of(files: Files, table: str, paths: Sequence[str]) -> Dataset:
    """Files of a table as an Arrow dataset, which is read when needed."""
    import pyarrow.dataset as ds  # brings pandas along where it is installed; few sweeps need it

    schema = reader_schema(table)
    if not paths:
        return ds.dataset(schema.empty_table())
    return ds.dataset(paths, schema=schema, format="parquet", filesystem=files.filesystem)


def committed(files: Files, table: str, commits: Mapping[str, str]) -> Dataset:
    """The rows of committed trials in a table, as a dataset that is read when needed.

    Args:
        files: OUT.
        table: a key of `frostline.store.schema.TABLES`.
        commits: the trials that are committed; rows of other trials are left out.
    """
    return dataset_of(files, table, row_files(files, table, commits))


def read_all(files: Files, table: str, dataset: Dataset, columns: Iterable[str] | None) -> pa.Table:
    """The dataset's rows in memory.

    Raises:
        DamagedError: a file does not fit the schema, or holds what no sweep writes.
        StorageError: a file cannot be read.
    """
    shown = f"{files.shown}/{table_folder(table)}"
    try:
        rows = dataset.to_table(columns=None if columns is None else list(columns))
    except (OSError, pa.ArrowException) as error:
        raise unread(files, shown, error) from None
    refuse_damaged(files, table, rows)
    return rows


def read_rows(
    files: Files, table: str, paths: Sequence[str], columns: Sequence[str] | None
) -> pa.Table:
    """The rows of some files of a table, in memory, in the order of the files.

    Raises:
        DamagedError: a file does not fit the schema, or holds what no sweep writes.
        StorageError: a file cannot be read.
    """
    wanted = columns if columns is None else list(dict.fromkeys([*columns, "trial_id"]))
    if scanned(files, paths):
        try:
            rows = read_scanned(table, paths, wanted)
        except (duckdb.Error, pa.ArrowException) as error:
            raise unread(files, f"{files.shown}/{table_folder(table)}", error) from None
        refuse_damaged(files, table, rows)
    else:
        rows = read_all(files, table, dataset_of(files, table, paths), wanted)
    refuse_foreign(files, table, rows, list(map(trial_of, paths)))
    return rows if columns is None else rows.select(list(columns))


def read_trials(files: Files, index: CommitIndex) -> tuple[dict[str, str], pa.Table]:
    """Status by trial, ascending, and the rows of `trials`, both read at one moment.

    Raises:
        StorageError: a file cannot be read; names it.
    """
    paths = row_files(files, "trials", trials_among(files.stamps(table_folder("trials"))))
    if scanned(files, paths):
        try:
            rows = read_rows(files, "trials", paths, None)
            if len(rows) == len(paths) and not rows["status"].null_count:
                statuses = rows["status"].to_pylist()
                return dict(zip(map(trial_of, paths), statuses, strict=True)), rows
        except StorageError as error:
            if isinstance(error, DamagedError):
                raise
            # A retry has just withdrawn a commit, or a file is damaged, which is reported below.
    commits = index.commits()
    return commits, read_rows(files, "trials", row_files(files, "trials", commits), None)


def _damaged(shown: str, reason: object) -> DamagedError:
    first = next(iter(str(reason).strip().splitlines()), "no reason given")
    return DamagedError(f"{shown} is damaged: {first}; {ADVICE}")


def unread(files: Files, shown: str, error: Exception) -> StorageError:
    """What an error of a reader means: damage, or a place that cannot be read.

    Args:
        files: OUT.
        shown: what was read, for the message.
        error: of the system, of Arrow or of DuckDB.
    """
    system = isinstance(error, OSError) and error.errno is not None
    if isinstance(error, duckdb.IOException):
        system = "read enough bytes" not in str(error)
    if system:
        return storage_error(f"cannot read {shown}", error, files.scrub)
    return _damaged(shown, files.scrub(str(error)))
