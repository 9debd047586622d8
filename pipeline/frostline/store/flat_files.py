"""A flat data set as files: one table each, as Parquet or CSV.

In: Arrow tables whose fields have a unit and a line of documentation in their metadata. Out: the
files. Parquet keeps units and documentation where they are; beside CSV files, which have no place
for them, stands `columns.csv`. In CSV a list is a JSON array.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Literal

import pyarrow as pa
from pyarrow import csv

from frostline.errors import UsageError
from frostline.store.arrow import arrow_schema, to_parquet
from frostline.store.outdir import OutDir

Format = Literal["parquet", "csv"]
COLUMNS_FILE = "columns.csv"


def table_of(columns: Mapping[tuple[str, str], pa.ChunkedArray]) -> pa.Table:
    """A flat table of stored columns, with what the schema says of each.

    Args:
        columns: values by table and column of `frostline.store.schema.TABLES`.
    """
    fields = [arrow_schema(table).field(name) for table, name in columns]
    return pa.Table.from_arrays(list(columns.values()), schema=pa.schema(fields))


def field_of(name: str, doc: str) -> pa.Field:
    """A column of text that no stored table has."""
    return pa.field(name, pa.string(), metadata={"unit": "", "doc": doc})


def write_flat(
    tables: Mapping[str, pa.Table], out: OutDir, folder: str, form: Format
) -> tuple[str, ...]:
    """Write a flat data set; earlier files of the same names are replaced.

    Args:
        tables: by name.
        out: where; a sweep's OUT, or a place of its own.
        folder: below it; empty: that place itself.
        form: of the files.

    Returns:
        The names of the files.

    Raises:
        UsageError: the folder holds other files.
        StorageError: it cannot be written.
    """
    content = dict(_files(tables, form))
    below = f"{folder}/" if folder else ""
    if not folder:
        known = {*content, COLUMNS_FILE}
        entries = [each for each in out.files.entries() if not each.startswith(".")]
        if foreign := [each for each in entries if each not in known]:
            raise UsageError(
                f"{out.files.shown} holds files that are no {form} export ({foreign[0]}): choose "
                "an empty or a new folder for --out"
            )
    with out.files.batch() as batch:
        for name, source in content.items():
            batch.put(f"{below}{name}", source)
    return tuple(content)


def _files(tables: Mapping[str, pa.Table], form: Format) -> Iterator[tuple[str, bytes]]:
    for name, table in tables.items():
        yield f"{name}.{form}", to_parquet(table) if form == "parquet" else _csv(table)
    if form == "csv":
        yield COLUMNS_FILE, _csv(_described(tables))


def _csv(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    csv.write_csv(pa.table({name: _plain(table[name]) for name in table.column_names}), sink)
    return bytes(sink.getvalue())


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column whose values CSV can hold."""
    if not pa.types.is_list(column.type):
        return column
    texts = [
        None if each is None else json.dumps(each, ensure_ascii=False)
        for each in column.to_pylist()
    ]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _described(tables: Mapping[str, pa.Table]) -> pa.Table:
    """A row for each column of each table: its type, unit and meaning."""
    rows = [
        {
            "table": name,
            "column": field.name,
            "type": str(field.type),
            "unit": field.metadata[b"unit"].decode(),
            "meaning": field.metadata[b"doc"].decode(),
        }
        for name, table in tables.items()
        for field in table.schema
    ]
    return pa.Table.from_pylist(rows)
