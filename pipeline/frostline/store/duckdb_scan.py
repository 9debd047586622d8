"""Tables of an OUT on this machine's disk, scanned by DuckDB.

In: the Parquet files of a table. Out: SQL that scans them with the schema of this version, or their
rows in memory. Columns that older files lack read as null; columns of a later program are ignored.
Refuses files that are not Parquet or have other types, naming them.

A sweep's tables are many files with few rows, and opening them takes the time. For 10,000 trials
DuckDB takes a quarter of the time of an Arrow dataset, and it is fastest when each core opens its
own files instead of sharing a query.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pyarrow as pa

from frostline.store.arrow import reader_schema
from frostline.store.columns import Type
from frostline.store.schema import TABLES

_BATCH = 400  # files of a query; DuckDB holds a vector per file and column until the query ends
_READERS = 4  # queries at the same time
_GLOB = frozenset("*?[]{}\\")
_TYPES: dict[Type, str] = {
    "string": "VARCHAR",
    "int64": "BIGINT",
    "float64": "DOUBLE",
    "bool": "BOOLEAN",
    "timestamp": "TIMESTAMPTZ",
    "list<string>": "VARCHAR[]",
    "list<int64>": "BIGINT[]",
    "list<struct<op: int64, output: int64>>": "STRUCT(op BIGINT, output BIGINT)[]",
}


def scannable(paths: Sequence[str]) -> bool:
    """Whether DuckDB takes these paths as they are: it reads `*`, `?` and brackets as patterns."""
    return not any(_GLOB.intersection(path) for path in paths)


def scan(table: str, files: str) -> str:
    """The FROM clause that scans a table.

    Args:
        table: a key of `frostline.store.schema.TABLES`.
        files: SQL of a list of paths, with at least one.
    """
    columns = ", ".join(
        f"'{column.name}': "
        f"{{name: '{column.name}', type: '{_TYPES[column.type]}', default_value: NULL}}"
        for column in TABLES[table]
    )
    return f"read_parquet({files}, schema = MAP {{{columns}}})"


def naive_utc(table: str) -> str:
    """The SELECT list of a table in which times are UTC without a zone.

    DuckDB converts timestamps with a zone through pytz, which it does not install.
    """
    replaced = ", ".join(
        f"make_timestamp(epoch_us({column.name})) AS {column.name}"
        for column in TABLES[table]
        if column.type == "timestamp"
    )
    return f"* REPLACE ({replaced})" if replaced else "*"


def read_scanned(table: str, paths: Sequence[str], columns: Sequence[str] | None) -> pa.Table:
    """The rows of some files, in the order of the files.

    Args:
        table: a key of `frostline.store.schema.TABLES`.
        paths: of the files, `scannable`.
        columns: only these; all when left out.

    Raises:
        duckdb.Error: a file cannot be read; names it.
    """
    schema = reader_schema(table)
    if columns is not None:
        schema = pa.schema([schema.field(name) for name in columns])
    selected = ", ".join(f'"{name}"' for name in schema.names)
    query = f"SELECT {selected} FROM {scan(table, '$paths')}"
    connection = duckdb.connect(config={"threads": 1})

    def part(first: int) -> pa.Table:
        batch = {"paths": paths[first : first + _BATCH]}
        found: pa.Table = connection.cursor().sql(query, params=batch).to_arrow_table()
        return found.combine_chunks().cast(schema)

    readers = min(_READERS, len(os.sched_getaffinity(0)))
    with ThreadPoolExecutor(readers) as pool:
        parts = list(pool.map(part, range(0, len(paths), _BATCH)))
    return pa.concat_tables(parts) if parts else schema.empty_table()
