"""Rows to Arrow: the row classes as Arrow schemas, and rows checked against them.

In: rows of the table's class; or what did not come through it, mappings by column and a
`pyarrow.Table`. Out: a table with exactly the schema's columns, or its Parquet bytes. Refuses rows
of another table, unknown columns, missing required values and wrong types: such rows are a defect
of the program, so `TableDefectError` stands outside the user's error tree.

Repeated strings stay plain `string` in Arrow: every reader would get a dictionary type as a pandas
categorical. Parquet's own dictionary encoding stores each of them once anyway.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from frostline.store.columns import Column, TableRow, Type
from frostline.store.schema import ROWS, SCHEMA_VERSION, TABLES

Rows: TypeAlias = "Sequence[TableRow] | Sequence[Mapping[str, object]] | pa.Table"

VERSION_KEY = b"frostline.schema_version"
TABLE_KEY = b"frostline.table"

_ARROW: dict[Type, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "list<string>": pa.list_(pa.string()),
    "list<int64>": pa.list_(pa.int64()),
    "list<struct<op: int64, output: int64>>": pa.list_(
        pa.struct([("op", pa.int64()), ("output", pa.int64())])
    ),
}

_FEW = 32  # rows
_LISTS_ONLY = {
    f"{column.name}.list.element": "zstd"
    for columns in TABLES.values()
    for column in columns
    if column.type.startswith("list<")
}


class TableDefectError(Exception):
    """Rows that do not fit their table's schema; names the table, the column and the value."""


@cache
def arrow_schema(table: str) -> pa.Schema:
    """The Arrow schema of a table, as written: units and documentation in the metadata.

    Args:
        table: a key of `frostline.store.schema.TABLES`.
    """
    fields = [
        pa.field(
            column.name,
            _ARROW[column.type],
            nullable=not column.required,
            metadata={"unit": column.unit, "doc": column.doc},
        )
        for column in TABLES[table]
    ]
    metadata = {VERSION_KEY: str(SCHEMA_VERSION), TABLE_KEY: table}
    return pa.schema(fields, metadata=metadata)


@cache
def reader_schema(table: str) -> pa.Schema:
    """The same columns, all nullable: files of older versions lack the newer ones."""
    return pa.schema([(field.name, field.type) for field in arrow_schema(table)])


def to_table(table: str, rows: Rows) -> pa.Table:
    """Rows as an Arrow table with exactly the schema's columns, in its order.

    A mapping or a table may leave out columns that are not required; they become null.

    Raises:
        TableDefectError: another table's row, an unknown column, a required value that is not
            there, a wrong type.
    """
    if isinstance(rows, pa.Table):
        return _checked_table(table, rows)
    mappings = [_by_column(table, row) for row in rows]
    known = {column.name for column in TABLES[table]}
    for number, row in enumerate(mappings):
        if unknown := row.keys() - known:
            raise _defect(table, sorted(unknown)[0], f"row {number} has this unknown column")
    arrays = [_array(table, column, mappings) for column in TABLES[table]]
    return pa.Table.from_arrays(arrays, schema=arrow_schema(table))


def with_columns(table: str, row: pa.Table, values: Mapping[str, object]) -> pa.Table:
    """A stored row with some of its columns replaced; columns of a later version stay.

    Args:
        table: whose row it is.
        row: one row, as a file holds it.
        values: by column.

    Raises:
        TableDefectError: an unknown column, a required value that is not there, a wrong type.
    """
    known = {column.name: column for column in TABLES[table]}
    for name, value in values.items():
        if name not in known:
            raise _defect(table, name, "is unknown")
        array = _array(table, known[name], [{name: value}])
        field, at = arrow_schema(table).field(name), row.schema.get_field_index(name)
        row = row.append_column(field, array) if at < 0 else row.set_column(at, field, array)
    return row


def to_parquet(table: pa.Table) -> bytes:
    """Parquet bytes, compressed where that saves something, ready to be published in one piece."""
    # For a single row, dictionaries and statistics are larger than the row; compressing a few
    # values of each column takes longer than writing them and saves nothing. Lists may be long.
    many = len(table) > 1
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="zstd" if len(table) > _FEW else _LISTS_ONLY,
        use_dictionary=many,
        write_statistics=many,
    )
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def from_parquet(stored: bytes) -> pa.Table:
    """The rows of one file.

    `pyarrow.parquet.read_table` would take four times as long for one row.

    Raises:
        pyarrow.ArrowException: the bytes are no Parquet file.
    """
    return pq.ParquetFile(pa.BufferReader(stored)).read()


def _by_column(table: str, row: TableRow | Mapping[str, object]) -> Mapping[str, object]:
    if not isinstance(row, TableRow):
        return row
    if not isinstance(row, ROWS[table]):
        raise TableDefectError(f"table {table}: a {type(row).__name__} is no row of it")
    return row.values()


def _array(table: str, column: Column, rows: Sequence[Mapping[str, object]]) -> pa.Array:
    fits = _FITS[column.type]
    values = [row.get(column.name) for row in rows]
    for number, value in enumerate(values):
        if value is None:
            if column.required:
                raise _defect(table, column.name, f"is required and row {number} has no value")
        elif not fits(value):
            raise _defect(
                table, column.name, f"is {column.type} and row {number} has {_shown(value)}"
            )
    try:
        return pa.array(values, type=_ARROW[column.type])
    except (pa.ArrowException, OverflowError, TypeError) as error:
        raise _defect(table, column.name, str(error)) from error


def _checked_table(table: str, rows: pa.Table) -> pa.Table:
    schema = arrow_schema(table)
    if unknown := [name for name in rows.column_names if name not in schema.names]:
        raise _defect(table, unknown[0], "is unknown")
    arrays = []
    for field in schema:
        if field.name not in rows.column_names:
            values = pa.nulls(len(rows), field.type)
        else:
            try:
                values = rows.column(field.name).cast(field.type)
            except pa.ArrowException as error:
                raise _defect(table, field.name, f"is {field.type}: {error}") from error
        if not field.nullable and values.null_count:
            raise _defect(table, field.name, f"is required and {values.null_count} rows lack it")
        arrays.append(values)
    return pa.Table.from_arrays(arrays, schema=schema)


def _whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _real(value: object) -> bool:
    # NaN is refused: "not measured" is null, and NaN would sort as the largest speedup in SQL.
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and value == value


def _strings(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _whole_or_unknown(value: object) -> bool:
    return isinstance(value, list | tuple) and all(each is None or _whole(each) for each in value)


def _pairs(value: object) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(each, list | tuple) and len(each) == 2 and all(map(_whole, each))
        for each in value
    )


def _zoned(value: object) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None


_FITS: dict[Type, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "int64": _whole,
    "float64": _real,
    "bool": lambda value: isinstance(value, bool),
    "timestamp": _zoned,
    "list<string>": _strings,
    "list<int64>": _whole_or_unknown,
    "list<struct<op: int64, output: int64>>": _pairs,
}


def _shown(value: object) -> str:
    if isinstance(value, float) and math.isnan(value):
        return "NaN (write None where nothing was measured)"
    if isinstance(value, datetime):
        return f"{value!r} (without a time zone)"
    text = repr(value)
    return f"{text[:80]} ({type(value).__name__})"


def _defect(table: str, column: str, what: str) -> TableDefectError:
    return TableDefectError(f"table {table}, column {column}: {what}")
