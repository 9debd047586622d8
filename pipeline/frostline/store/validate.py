"""Whether rows that were read can be what a sweep wrote.

In: rows of a table, as a file of OUT holds them. Out: nothing, or `DamagedError` with the file, the
column and the value. The schema's columns say what is always there; beyond that a number has to be
finite and in a range that the rest of the program can reckon with, and a name short enough to be
shown. What reads a sweep may then rely on all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import zip_longest

import pyarrow as pa
import pyarrow.compute as pc

from frostline.errors import DamagedError
from frostline.store.columns import Column
from frostline.store.files import Files
from frostline.store.schema import TABLES
from frostline.store.table_files import table_file, table_folder

LONGEST_NAME = 1_000
LONGEST_TEXT = 100_000
"""Characters: a policy may list every layer of a large model."""

_TEXTS = frozenset({"policy", "aliases", "error_message", "warnings"})

_SIGNED = frozenset({"pair", "allocator_slack_bytes", "workspace_bytes"})
_POSITIVE = frozenset({
    "batch_size", "n_steps", "step_ns", "baseline_step_ns", "speedup", "speedup_low",
    "speedup_high", "profiler_overhead", "predicted_speedup", "measured_speedup",
})  # fmt: skip
_LISTED_EVER_SINCE = frozenset({"frozen_layers", "frozen_variables", "needed_by"})
"""Lists that files of every version have; another one that a file lacks is empty."""

_SHARES = frozenset({"frozen_fraction", "attributed_fraction"})
_MOST_WHOLE = 10**16  # a hundred days in nanoseconds; sums of it still fit 64 bits
_MOST_REAL = 1e15
_LEAST_REAL = 1e-12
_MOST_FLOP = 4 * 10**18
_WORDS = {
    "status": ("ok", "failed"),
    "arm": ("baseline", "trial"),
    "mode": ("trainable", "pass_through", "pruned"),
    "pass": ("forward", "activation_gradient", "weight_gradient", "optimizer", "input", "other"),
}
_EARLIEST, _LATEST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def refuse_damaged(files: Files, table: str, rows: pa.Table) -> None:
    """Look at every value of some rows.

    Args:
        files: OUT, for the message.
        table: the table's name.
        rows: with columns of it; `trial_id` among them, which names the file.

    Raises:
        DamagedError: a value cannot be.
    """
    known = {column.name: column for column in TABLES[table]}
    for name in rows.column_names:
        values = rows[name]
        wrong, what = _wrong(known[name], values)
        if wrong is None:
            continue
        at = pc.index(wrong, True).as_py()
        if at >= 0:
            found = _shown(values[at].as_py())
            trial = rows["trial_id"][at].as_py() if "trial_id" in rows.column_names else None
            raise DamagedError(
                f"{place(files, table, trial)} is damaged: {name} is {found}, and {what}; {ADVICE}"
            )


def refuse_foreign(files: Files, table: str, rows: pa.Table, names: Sequence[str]) -> None:
    """Look whose rows these are.

    Args:
        files: OUT, for the message.
        table: the table's name; of `trials` each file has one row, and the order is the files'.
        rows: with the column `trial_id`.
        names: the trials that the files are named after.

    Raises:
        DamagedError: a row of another trial, or one that is there twice.
    """
    if table == "trials":
        ids = rows["trial_id"].to_pylist()
        if ids == list(names):
            return
        wrong = next(
            found if len(ids) > len(names) else name
            for name, found in zip_longest(names, ids)
            if name != found
        )
    else:
        others = set(rows["trial_id"].unique().to_pylist()) - set(names)
        if not others:
            return
        wrong = None
    raise DamagedError(
        f"{place(files, table, wrong)} is damaged: it has rows of another trial than it is named "
        f"after; {ADVICE}"
    )


def place(files: Files, table: str, trial_id: object = None) -> str:
    """What to call a trial's file of a table, or the table where the trial is not known."""
    name = table_file(table, trial_id) if isinstance(trial_id, str) else table_folder(table)
    return f"{files.shown}/{name}"


ADVICE = (
    "delete the file that is and run the sweep again, which measures its trial anew, or restore it "
    "from a copy"
)


def _wrong(column: Column, values: pa.ChunkedArray) -> tuple[pa.ChunkedArray | None, str]:
    """Where a column is wrong, and what its values have to be."""
    needed = column.type != "list<string>" or column.name in _LISTED_EVER_SINCE
    if column.required and needed and values.null_count:
        return pc.is_null(values), "a value is needed"
    match column.type:
        case "int64" | "float64":
            return _out_of_range(column, values)
        case "timestamp":
            early, late = pc.less(values, _EARLIEST), pc.greater(values, _LATEST)
            return pc.or_(early, late), "no sweep ran then"
        case "string" if column.name in _WORDS:
            words = _WORDS[column.name]
            unknown = pc.invert(pc.is_in(values, pa.array(words)))
            return pc.and_(unknown, pc.is_valid(values)), f"it is one of {', '.join(words)}"
        case "string":
            most = LONGEST_TEXT if column.name in _TEXTS else LONGEST_NAME
            return pc.greater(pc.utf8_length(values), most), f"it has {most} characters at most"
        case "list<string>":
            most = LONGEST_TEXT if column.name in _TEXTS else LONGEST_NAME
            return _wrong_lists(values, most), f"it lists names of {most} characters at most"
        case "list<int64>":
            return _wrong_counts(values), f"it lists sizes between 0 and {_MOST_WHOLE:g}"
    return None, ""


def _out_of_range(column: Column, values: pa.ChunkedArray) -> tuple[pa.ChunkedArray, str]:
    most: float = _MOST_REAL if column.type == "float64" else _MOST_WHOLE
    if column.name in _SHARES:
        most = 1.000001
    elif column.unit == "FLOP":
        most = _MOST_FLOP
    least: float = -_MOST_WHOLE if column.name in _SIGNED else 0
    if column.name in _POSITIVE:
        least = _LEAST_REAL if column.type == "float64" else 1
    inside = pc.and_(pc.greater_equal(values, least), pc.less_equal(values, most))
    return pc.invert(inside), f"it lies between {least:g} and {most:g}"


def _wrong_lists(values: pa.ChunkedArray, most: int) -> pa.ChunkedArray:
    """Lists in which a name is missing or too long."""
    chunks = []
    for chunk in values.chunks:
        names, owners = pc.list_flatten(chunk), pc.list_parent_indices(chunk)
        bad = pc.fill_null(pc.greater(pc.utf8_length(names), most), True)
        guilty = owners.filter(bad)
        chunks.append(pc.is_in(pa.array(range(len(chunk)), owners.type), guilty))
    return pa.chunked_array(chunks, pa.bool_())


def _wrong_counts(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Lists in which a size is negative or larger than anything; an unknown one may be missing."""
    chunks = []
    for chunk in values.chunks:
        sizes, owners = pc.list_flatten(chunk), pc.list_parent_indices(chunk)
        bad = pc.or_(pc.less(sizes, 0), pc.greater(sizes, int(_MOST_WHOLE)))
        guilty = owners.filter(pc.fill_null(bad, False))
        chunks.append(pc.is_in(pa.array(range(len(chunk)), owners.type), guilty))
    return pa.chunked_array(chunks, pa.bool_())


def _shown(value: object) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}... ({len(text)} characters)"
