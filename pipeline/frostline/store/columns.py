"""From the row class of a table to its columns.

In: a dataclass whose fields are the columns of a table, each annotated with its type, a line that
says what it means, and the unit of its values where there is one (`1`: a ratio). Out: `Column`s,
from which Arrow's schema and `docs/tables.md` are made, and rows as mappings by column. A row is
made by its class's constructor, so mypy reports a column that is unknown, left out or of another
type. Imports no Arrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

Type = Literal[
    "string", "int64", "float64", "bool", "timestamp", "list<string>", "list<int64>",
    "list<struct<op: int64, output: int64>>",
]  # fmt: skip

_TYPES: dict[object, Type] = {
    str: "string",
    int: "int64",
    float: "float64",
    bool: "bool",
    datetime: "timestamp",
    tuple[str, ...]: "list<string>",
    tuple[int | None, ...]: "list<int64>",
    tuple[tuple[int, int], ...]: "list<struct<op: int64, output: int64>>",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: name, type, whether a value is always there, unit, and what it means."""

    name: str
    type: Type
    required: bool
    unit: str
    doc: str


class TableRow:
    """A row of a table, or the part of a row that becomes known at one time: a frozen dataclass.

    A field is named like its column, with `_` at the end where the name is a Python keyword
    (`pass_`). Fields have no defaults: the code that makes a row states every column, with None
    where nothing was measured.
    """

    __slots__ = ()

    @classmethod
    def columns(cls) -> tuple[Column, ...]:
        """The columns, in the order of the table."""
        return tuple(_columns(cls).values())

    @classmethod
    def from_mapping(cls, row: Mapping[str, Any]) -> Self:
        """Make a row from its columns; lists become tuples, unknown columns are passed over.

        Raises:
            KeyError: a column is missing (a reader fills those that old files lack with None).
        """
        return cls(
            **{name: _value(column, row[column.name]) for name, column in _columns(cls).items()}
        )

    @classmethod
    def nothing(cls) -> Self:
        """The part of a row of which nothing is known: every column is null.

        Raises:
            TypeError: a value of some column is always there.
        """
        if always := [column.name for column in cls.columns() if column.required]:
            raise TypeError(f"{cls.__name__}: {', '.join(always)} cannot be null")
        return cls(**dict.fromkeys(_columns(cls)))

    def values(self) -> dict[str, Any]:
        """The values by column."""
        return {column.name: getattr(self, name) for name, column in _columns(type(self)).items()}


_known: dict[type[TableRow], Mapping[str, Column]] = {}


def _columns(row: type[TableRow]) -> Mapping[str, Column]:
    """Columns by the name of their field, in the order in which a dataclass has them."""
    if row not in _known:
        hints = get_type_hints(row, include_extras=True)
        _known[row] = {name: _column(name, hint) for name, hint in hints.items()}
    return _known[row]


def _column(field: str, hint: Any) -> Column:
    kind, (doc, *unit) = hint.__origin__, hint.__metadata__
    kinds = set(get_args(kind)) if get_origin(kind) in (Union, UnionType) else {kind}
    (value,) = kinds - {NoneType}
    return Column(
        name=field.removesuffix("_"),
        type="string" if get_origin(value) is Literal else _TYPES[value],
        required=NoneType not in kinds,
        unit="".join(unit),
        doc=doc,
    )


def _value(column: Column, value: Any) -> Any:
    """A value as a row holds it; a list that old files lack is empty where it cannot be null."""
    if not column.type.startswith("list<") or (value is None and not column.required):
        return value
    if column.type == "list<struct<op: int64, output: int64>>":
        return tuple((each["op"], each["output"]) for each in value)
    return tuple(value or ())
