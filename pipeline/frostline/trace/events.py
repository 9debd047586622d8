"""From exported events to ops with their self times: running the queries, and nested intervals.

In: the Parquet file that xprof's `xspace_to_parquet` wrote, one row per event. Out: `Aggregate`:
ops summed per device in integer nanoseconds. Refuses (`TraceError`) a trace without op events, and
one without training steps where steps are required. `frostline.trace.queries` says what counts as
an op.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from frostline.errors import TraceError
from frostline.trace import queries
from frostline.trace.ops import TraceOp

_MEMORY_LIMIT = "512MB"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventGroup:
    """Events of one op on one device, and the XLA program that they are part of, if any."""

    op: TraceOp
    hlo_module: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """All events of a trace that count, see `frostline.trace.ops.Trace`."""

    groups: tuple[EventGroup, ...]
    steps: int
    busy_ns: int
    eager: bool
    warnings: tuple[str, ...]


def aggregate_events(parquet: Path, *, require_steps: bool) -> Aggregate:
    """Sum the events of an exported trace by op.

    Args:
        parquet: what `xspace_to_parquet` wrote.
        require_steps: refuse a trace without `train` steps; else such a trace counts as one step.

    Raises:
        TraceError: no op event, or no step where one is required.
    """
    config = {"memory_limit": _MEMORY_LIMIT, "temp_directory": str(parquet.parent)}
    with duckdb.connect(config=config) as connection:
        connection.execute("SET preserve_insertion_order = false")
        where = {"parquet": str(parquet)}
        steps, first_ns, last_ns = _one(connection, queries.STEPS, where)
        if steps == 0 and require_steps:
            raise TraceError(
                "the trace has no training steps; run each step inside "
                'tf.profiler.experimental.Trace("train", step_num=i, _r=1)'
            )
        connection.execute(queries.EVENTS, where)
        _drop_what_is_repeated(connection, where)
        warnings = _keep(connection, (first_ns, last_ns) if steps else None)
        groups = _groups(connection)
        if not groups:
            raise TraceError(
                "the trace has no op events; was the profiler running while steps ran? On a GPU, "
                "reading kernels needs permission for the CUPTI counters"
            )
        (busy_ns,) = _one(connection, queries.BUSY)
    eager = _is_eager(groups)
    if eager:
        warnings.append(
            "the step ran eagerly: op names carry no layer, so nothing can be attributed to one"
        )
    return Aggregate(
        groups=groups,
        steps=max(steps, 1),
        busy_ns=busy_ns,
        eager=eager,
        warnings=tuple(warnings),
    )


def _one(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, str] | None = None
) -> tuple[int, ...]:
    row: tuple[int, ...] | None = connection.execute(query, parameters).fetchone()
    return row or ()


def _is_eager(groups: tuple[EventGroup, ...]) -> bool:
    """Whether most of the time belongs to ops named by their type alone, as eager ops are."""
    bare_ns = named_ns = 0
    for op in (group.op for group in groups):
        copied = op.op_type.startswith("Memcpy")
        if op.hlo_op or op.in_input or copied or op.op_type in ("", "Dataset"):
            continue
        if op.op_name in ("", op.op_type):
            bare_ns += op.self_ns
        else:
            named_ns += op.self_ns
    return bare_ns > named_ns


def _drop_what_is_repeated(connection: duckdb.DuckDBPyConnection, where: dict[str, str]) -> None:
    """Drop launches of XLA programs, and eager calls where other events cover them."""
    (host_hlo, ops) = _one(
        connection,
        "SELECT count(*) FILTER (host AND hlo_op != ''), "
        "count(*) FILTER (host AND NOT eager_call AND NOT in_input AND op_type != 'Dataset') "
        "FROM found",
    )
    if host_hlo:
        # The launching op holds its thread from before the program starts until it has ended.
        connection.execute(queries.LAUNCHES_AWAY, where)
    # Functions called eagerly contain ops; ops called eagerly are all there is in an eager trace.
    functions_only = "" if ops else " AND starts_with(op_type, '__inference_')"
    connection.execute(f"DELETE FROM found WHERE eager_call{functions_only}")


def _keep(connection: duckdb.DuckDBPyConnection, window: tuple[int, int] | None) -> list[str]:
    """Make `kept` of `found`: the events of the traced steps."""
    inside = "true"
    if window:
        labelled = "step LIKE 'train %'"
        timely = f"start_ns BETWEEN {window[0]} AND {window[1]}"
        inside = f"CASE WHEN step IS NULL THEN {timely} ELSE {labelled} OR {timely} END"
    left, left_ns = _one(
        connection,
        "SELECT count(*), coalesce(sum(self_ns), 0)::BIGINT "
        f"FROM found WHERE NOT coalesce({inside}, false)",
    )
    connection.execute(
        f"""
        CREATE TEMP TABLE kept AS
        SELECT *, CASE WHEN op_name = '' AND hlo_op = '' AND NOT host THEN kernel_name
            ELSE '' END AS kernel
        FROM found WHERE coalesce({inside}, false)
        """
    )
    return [f"{left} op events ({left_ns} ns) ran outside the traced steps"] if left else []


def _groups(connection: duckdb.DuckDBPyConnection) -> tuple[EventGroup, ...]:
    rows = connection.execute(
        f"SELECT {queries.KEY}, count(*), sum(self_ns)::BIGINT, median(self_ns)::BIGINT "
        "FROM kept GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    nested = [line for (line,) in connection.execute(queries.NESTED_LINES).fetchall()]
    inner = _inner_times(connection, nested) if nested else {}
    return tuple(
        _group(tuple(key), calls, total_ns, median_ns, inner)
        for *key, calls, total_ns, median_ns in rows
    )


def _group(
    key: tuple[Any, ...],
    calls: int,
    total_ns: int,
    median_ns: int,
    inner: Mapping[tuple[str | bool, ...], int],
) -> EventGroup:
    device, op_name, op_type, hlo_op, hlo_module, kernel, in_input = key
    self_ns = total_ns - inner.get(key, 0)
    op = TraceOp(
        device=device,
        op_name=op_name,
        op_type=op_type,
        hlo_op=hlo_op,
        kernel=kernel,
        in_input=in_input,
        calls=calls,
        self_ns=self_ns,
        # Time of ops inside leaves the median in proportion: which events held them is not kept.
        median_ns=median_ns * self_ns // total_ns if total_ns else 0,
    )
    return EventGroup(op=op, hlo_module=hlo_module)


def _inner_times(
    connection: duckdb.DuckDBPyConnection, lines: list[int]
) -> dict[tuple[str | bool, ...], int]:
    """Time that each host op spent in ops inside it, by op; children of children count once."""
    cursor = connection.execute(
        f"""
        SELECT {queries.KEY}, line, start_ns, end_ns FROM kept
        WHERE host AND list_contains($lines, line)
        ORDER BY line, start_ns, end_ns DESC
        """,
        {"lines": lines},
    )
    inner: dict[tuple[str | bool, ...], int] = defaultdict(int)
    line: int | None = None
    stack: list[tuple[int, tuple[str | bool, ...]]] = []
    while rows := cursor.fetchmany(65536):
        for *key, on_line, start_ns, end_ns in rows:
            if on_line != line:
                line, stack = on_line, []
            while stack and stack[-1][0] <= start_ns:
                stack.pop()
            if stack and end_ns <= stack[-1][0]:
                inner[stack[-1][1]] += end_ns - start_ns
            stack.append((end_ns, tuple(key)))
    return inner
