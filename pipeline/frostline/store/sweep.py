"""A finished or running sweep, for notebooks, queries and the program itself.

In: OUT, a local path or a URI. Out: `Sweep`, with the tables as Arrow, pandas or SQL, and the
trials as typed rows. It counts exactly one commit per trial, as of the moment it was opened, and
leaves out rows of trials without a commit. Refuses a place that is no sweep, and a sweep that a
newer version wrote.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa

from frostline.errors import SweepError, UsageError
from frostline.listing import listed
from frostline.notebook import html_facts, one_line
from frostline.store.address import Address
from frostline.store.columns import TableRow
from frostline.store.duckdb_scan import naive_utc, scan
from frostline.store.manifest import Manifest
from frostline.store.outdir import MANIFEST, OutDir
from frostline.store.read import dataset_of, read_rows, row_files, scanned, unread
from frostline.store.schema import TABLE_OF, TABLES
from frostline.store.trial_row import TrialRow
from frostline.store.versions import refuse_newer
from frostline.suggest import advice

if TYPE_CHECKING:
    import pandas as pd

Row = TypeVar("Row", bound=TableRow)

_NAMED = 8


def open_sweep(out: str | PathLike[str] | Address) -> Sweep:
    """Open what a sweep wrote.

    Args:
        out: the output folder (`--out`): a local path or a URI that `pyarrow.fs` opens.

    Raises:
        SweepError: it does not exist, is no sweep, or a newer version wrote it or a table of it.
        StorageError: it cannot be read.
    """
    outdir = OutDir.open(out, create=False)
    manifest = outdir.manifest()
    if manifest is None:
        raise SweepError(
            f"{outdir.files.shown} is no sweep: it has no {MANIFEST}; pass the folder that "
            "`frostline sweep STUDY.toml --out FOLDER` wrote"
        )
    return Sweep(outdir, manifest)


def as_sweep(sweep: Sweep | str | PathLike[str]) -> Sweep:
    """A sweep that is open already, or the one at a path or URI.

    Raises:
        SweepError, StorageError: as `open_sweep`.
    """
    return sweep if isinstance(sweep, Sweep) else open_sweep(sweep)


class Sweep:
    """The tables of one sweep, as they were committed when it was opened.

    Attributes:
        out: the output directory.
        manifest: the study's name, and versions and runs of the program that wrote it.
        commits: status by `trial_id`.
    """

    def __init__(self, out: OutDir, manifest: Manifest) -> None:
        """Take an output directory that is a sweep; use `open_sweep`."""
        self.out = out
        self.manifest = manifest
        self.commits, self._trials = out.trials()
        self._paths: dict[str, list[str]] = {}
        self._files("trials", None)

    def __repr__(self) -> str:
        return one_line("Sweep", self.out.files.shown, self._facts())

    def _repr_html_(self) -> str:
        return html_facts(f"Sweep in {self.out.files.shown}", self._facts())

    def _facts(self) -> dict[str, str]:
        """What it is, from what was read when it was opened."""
        statuses = list(self.commits.values())
        models = sorted(self._trials["model"].unique().to_pylist())
        return {
            "study": self.manifest.study,
            "trials": f"{statuses.count('ok')} ok, {statuses.count('failed')} failed",
            "models": listed(models, _NAMED) or "none yet",
        }

    def refuse_empty(self) -> None:
        """Refuse to go on without a trial.

        Raises:
            SweepError: none is committed.
        """
        if not self.commits:
            shown = self.out.files.shown
            raise SweepError(f"{shown}: no trial is committed yet; run the sweep first")

    def trials(self) -> pa.Table:
        """The `trials` table: one row a trial, failed ones included."""
        return self.table("trials")

    def table(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        *,
        trials: Collection[str] | None = None,
    ) -> pa.Table:
        """A table in memory; with its columns and no rows when nothing was written to it.

        Args:
            name: a key of `frostline.store.schema.TABLES`: `trials`, `steps`, `op_costs`, ...
            columns: only these; all when left out.
            trials: ids of the trials whose files are read; all when left out. Ids without a commit
                give no rows.

        Raises:
            SweepError: there is no such table or column, or a newer version wrote it.
            StorageError: a file cannot be read.
        """
        if name not in TABLES:
            raise SweepError(_unknown("table", name, list(TABLES)))
        known = [column.name for column in TABLES[name]]
        for column in columns or ():
            if column not in known:
                raise SweepError(_unknown("column", column, known))
        if name == "trials" and trials is None:
            return self._trials if columns is None else self._trials.select(columns)
        return read_rows(self.out.files, name, self._files(name, trials), columns)

    def rows(self, kind: type[Row], *, trials: Collection[str] | None = None) -> list[Row]:
        """A table's rows as values of its row class.

        Args:
            kind: a class of `frostline.store.schema.ROWS`.
            trials: see `table`.
        """
        rows = self.table(TABLE_OF[kind], trials=trials).to_pylist()
        return [kind.from_mapping(row) for row in rows]

    def df(self, name: str) -> pd.DataFrame:
        """A table as a pandas frame.

        Raises:
            UsageError: pandas is not installed.
            SweepError: there is no such table.
        """
        try:
            import pandas  # noqa: F401  # not a dependency: only this method needs it
        except ImportError as error:
            raise UsageError(
                "pandas is not installed: `pip install pandas`, or use .table() or .sql()"
            ) from error
        frame: pd.DataFrame = self.table(name).to_pandas()
        return frame

    def sql(self, query: str, *, trials: Collection[str] | None = None) -> duckdb.DuckDBPyRelation:
        """A DuckDB query over views named as the tables.

        Only the files and columns that the query needs are read, when its result is fetched.
        Times (`started_at`) are UTC, as timestamps without a zone.

        Args:
            query: SQL; `FROM trials JOIN steps USING (trial_id)` and so on.
            trials: ids of the trials whose files are read; all when left out.

        Raises:
            SweepError: the query is wrong; with DuckDB's message.
        """
        connection = self._connection if trials is None else self._connect(trials)
        try:
            return connection.sql(query)
        except duckdb.Error as error:
            raise SweepError(
                f"the query does not work: {error}; the tables are {', '.join(TABLES)}"
            ) from error

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """The rows that a query gives; see `sql`.

        Raises:
            SweepError: the query is wrong.
            DamagedError: a file that it reads is damaged.
        """
        relation = self.sql(query)
        try:
            rows: list[tuple[Any, ...]] = relation.fetchall()
        except duckdb.Error as error:
            raise unread(self.out.files, f"{self.out.files.shown}/tables", error) from None
        return rows

    def trial_rows(self) -> list[TrialRow]:
        """Every committed trial as a typed value, in the order of `trial_id`."""
        return list(self._trial_rows)

    @cached_property
    def _trial_rows(self) -> list[TrialRow]:
        return sorted(self.rows(TrialRow), key=lambda row: row.trial_id)

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        return self._connect(None)

    def _connect(self, trials: Collection[str] | None) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect()
        for name in TABLES:
            paths = self._files(name, trials)
            if name == "trials" and trials is None:
                connection.register("stored_trials", self._trials)
                source = "stored_trials"
            elif paths and scanned(self.out.files, paths):
                connection.execute(f"SET VARIABLE files_{name} = $paths", {"paths": paths})
                source = scan(name, f"getvariable('files_{name}')")
            else:
                connection.register(f"stored_{name}", dataset_of(self.out.files, name, paths))
                source = f"stored_{name}"
            connection.execute(f"CREATE VIEW {name} AS SELECT {naive_utc(name)} FROM {source}")
        return connection

    def _files(self, name: str, trials: Collection[str] | None) -> list[str]:
        """The files of a table, as they were found when first asked for."""
        if name not in self._paths:
            self._paths[name] = row_files(self.out.files, name, self.commits)
            refuse_newer(self.out.files, name, self._paths[name])
        if trials is not None:
            return row_files(self.out.files, name, self.commits.keys() & set(trials))
        return self._paths[name]


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    return f"there is no {what} {name!r}. {advice(name, known)}"
