"""What the publication of a trial changes in an OUT. Pure.

In: the rows of one attempt, and its other files. Out: `FileChange`s in the order in which they have
to be applied: the files are written, the old commit is removed, the tables are replaced one by one,
and the new commit comes last. Refuses rows that do not fit the schema, or are another trial's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from frostline.store.arrow import Rows, TableDefectError, to_parquet, to_table
from frostline.store.files import FileChange, Source
from frostline.store.schema import (
    TABLES,
    GraphOpRow,
    LayerRow,
    OpCostRow,
    PredictionRow,
    ProgramOpRow,
    StepRow,
)
from frostline.store.table_files import table_file
from frostline.store.trial_row import TrialRow

_TRIAL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=@,+-]{0,199}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialTables:
    """All rows of one attempt at one trial, by table.

    Attributes:
        trial_id: of every row.
        trials: exactly one row.
        steps, op_costs, layers, graph_ops, program_ops, predictions: any number of rows; none where
            the trial failed before it had any.
    """

    trial_id: str
    trials: Sequence[TrialRow]
    steps: Sequence[StepRow] = ()
    op_costs: Sequence[OpCostRow] = ()
    layers: Sequence[LayerRow] = ()
    graph_ops: Sequence[GraphOpRow] = ()
    program_ops: Sequence[ProgramOpRow] = ()
    predictions: Sequence[PredictionRow] = ()


def publication(tables: TrialTables, files: Mapping[str, Source]) -> tuple[FileChange, ...]:
    """The changes that publish a trial.

    Args:
        tables: its rows.
        files: what else belongs to it, by name below OUT.

    Raises:
        TableDefectError: rows do not fit the schema; names table and column.
    """
    content = checked(tables.trial_id, {table: getattr(tables, table) for table in TABLES})
    if len(content["trials"]) != 1:
        raise TableDefectError(f"table trials: {len(content['trials'])} rows instead of one")
    commit = content.pop("trials")
    commit_file = table_file("trials", tables.trial_id)
    return (
        *(FileChange(name=name, source=source) for name, source in files.items()),
        FileChange(name=commit_file, source=None),
        *replaced(tables.trial_id, content),
        FileChange(name=commit_file, source=to_parquet(commit)),
    )


def checked(trial_id: str, tables: Mapping[str, Rows]) -> dict[str, pa.Table]:
    """Rows of one trial as Arrow tables that fit the schema.

    Raises:
        TableDefectError: they do not, or are another trial's, or the id cannot name a file.
    """
    if not _TRIAL_ID.fullmatch(trial_id):
        raise TableDefectError(f"{trial_id!r} cannot be a trial_id: it names a file")
    content = {table: to_table(table, rows) for table, rows in tables.items()}
    for table, rows in content.items():
        if others := set(rows.column("trial_id").unique().to_pylist()) - {trial_id}:
            raise TableDefectError(
                f"table {table}, column trial_id: {others.pop()!r} in the rows of {trial_id!r}"
            )
    return content


def replaced(trial_id: str, tables: Mapping[str, pa.Table]) -> Iterator[FileChange]:
    """The changes that give a trial these rows; the file of a table without rows is removed."""
    for table, rows in tables.items():
        yield FileChange(
            name=table_file(table, trial_id), source=to_parquet(rows) if len(rows) else None
        )
