"""From exported events to ops with their self times: running the queries, and nested intervals.

In: the Parquet file that xprof's `xspace_to_parquet` wrote, one row per event. Out: `Aggregate`:
ops summed per device in integer nanoseconds. Refuses (`TraceError`) a trace without op events, and
one without training steps where steps are required. `frostline.trace.queries` says what counts as
an op.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import duckdb

from frostline.errors import TraceError
from frostline.trace import queries
from frostline.trace.allocations import op_allocations, step_allocation
from frostline.trace.ops import SHORT_NS, OpAllocation, StepAllocation, TraceOp

_MEMORY_LIMIT = "512MB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """All events of a trace that count, see `frostline.trace.ops.Trace`."""

    ops: tuple[TraceOp, ...]
    steps: int
    busy_ns: int
    between_ns: int
    device_ns: int
    eager: bool
    warnings: tuple[str, ...]
    allocation: StepAllocation | None = None
    allocations: tuple[OpAllocation, ...] = ()


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
        connection.execute(queries.STEPS, where)
        steps, first_ns, last_ns = _one(
            connection, "SELECT count(*), min(opened_ns), max(closed_ns) FROM steps"
        )
        if steps == 0 and require_steps:
            raise TraceError(
                "the trace has no training steps; run each step inside "
                'tf.profiler.experimental.Trace("train", step_num=i, _r=1)'
            )
        connection.execute(queries.EVENTS, where)
        in_functions = _drop_what_is_repeated(connection, where)
        warnings = _keep(connection, (first_ns, last_ns) if steps else None)
        connection.execute(queries.EXECUTOR, where)
        connection.execute(queries.RUNNING_ON, where)
        connection.execute(queries.WAITS)
        ops = _ops(connection, max(steps, 1))
        if not ops:
            raise TraceError(
                "the trace has no op events; was the profiler running while steps ran? On a GPU, "
                "reading kernels needs permission for the CUPTI counters"
            )
        opened, closed = (first_ns, last_ns) if steps else _one(connection, queries.EXTENT)
        busy_ns, between_ns, device_ns = _one(
            connection, queries.TIMELINE, {"opened": opened, "closed": closed}
        )
        allocation = step_allocation(connection, where)
        allocations = op_allocations(connection, where, allocation.allocator) if allocation else ()
    eager = _is_eager(ops, in_functions=in_functions)
    if eager:
        warnings.append(
            "the step ran eagerly: op names carry no layer, so nothing can be attributed to one"
        )
    return Aggregate(
        ops=ops,
        steps=max(steps, 1),
        busy_ns=busy_ns,
        between_ns=between_ns,
        device_ns=device_ns,
        eager=eager,
        warnings=tuple(warnings),
        allocation=allocation,
        allocations=allocations,
    )


def _one(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    parameters: Mapping[str, str | int] | None = None,
) -> tuple[int, ...]:
    row: tuple[int, ...] | None = connection.execute(query, parameters).fetchone()
    return row or ()


def _is_eager(ops: tuple[TraceOp, ...], *, in_functions: bool) -> bool:
    """Whether most of the time belongs to ops named by their type alone, as eager ops are.

    Instructions of an XLA program are of a compiled function, whatever they are called, and so are
    all ops of the host where its executor ran any: an op outside of every scope has a bare name.
    """
    bare_ns = named_ns = 0
    for op in ops:
        copied = op.op_type.startswith("Memcpy")
        if op.in_input or copied or (op.op_type in ("", "Dataset") and not op.hlo_op):
            continue
        compiled = op.hlo_op or (in_functions and op.device.startswith("/host:"))
        if op.op_name in ("", op.op_type) and not compiled:
            bare_ns += op.self_ns
        else:
            named_ns += op.self_ns
    return bare_ns > named_ns


def _drop_what_is_repeated(connection: duckdb.DuckDBPyConnection, where: dict[str, str]) -> bool:
    """Drop launches of XLA programs, and eager calls where other events cover them.

    Returns:
        Whether the host's executor ran ops, which it does for compiled functions alone.
    """
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
    return bool(ops)


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
    connection.execute(queries.KEPT.format(inside=inside))
    return [f"{left} op events ({left_ns} ns) ran outside the traced steps"] if left else []


def _ops(connection: duckdb.DuckDBPyConnection, steps: int) -> tuple[TraceOp, ...]:
    rows = connection.execute(queries.BY_STEP, {"short": SHORT_NS}).fetchall()
    nested = [line for (line,) in connection.execute(queries.NESTED_LINES).fetchall()]
    inner = _inner_times(connection, nested) if nested else {}
    return tuple(_op(_Key(*row[:-5]), *row[-5:], inner=inner, steps=steps) for row in rows)


class _Key(NamedTuple):
    """What tells ops apart; the columns of `queries.KEY`."""

    device: str
    op_name: str
    op_type: str
    hlo_op: str
    hlo_module: str
    kernel: str
    in_input: bool
    ahead: bool


def _op(
    key: _Key,
    numbers: Sequence[int],
    calls: Sequence[int],
    times_ns: Sequence[int],
    waits_ns: Sequence[int],
    short_calls: Sequence[int],
    *,
    inner: Mapping[tuple[_Key, int], int],
    steps: int,
) -> TraceOp:
    """An op from lists over the steps in which it ran."""
    own_ns = [
        time_ns - inner.get((key, number), 0)
        for number, time_ns in zip(numbers, times_ns, strict=True)
    ]
    return TraceOp(
        device=key.device,
        op_name=key.op_name,
        op_type=key.op_type,
        hlo_op=key.hlo_op,
        kernel=key.kernel,
        in_input=key.in_input,
        ahead=key.ahead,
        calls=sum(calls),
        self_ns=sum(own_ns),
        typical_ns=_median_step(own_ns, steps),
        wait_ns=sum(waits_ns),
        typical_wait_ns=_median_step(waits_ns, steps),
        short_calls=sum(short_calls),
        program=key.hlo_module or "",
    )


def _median_step(times_ns: Sequence[int], steps: int) -> int:
    """Median over all traced steps of a total per step, where the steps left out had none."""
    return round(median([*times_ns, *[0] * (steps - len(times_ns))]))


def _inner_times(
    connection: duckdb.DuckDBPyConnection, lines: list[int]
) -> dict[tuple[_Key, int], int]:
    """Time that each host op spent in ops inside it, by op and step; only children count."""
    cursor = connection.execute(
        f"""
        SELECT {queries.KEY}, number, line, start_ns, end_ns FROM kept
        WHERE host AND list_contains($lines, line)
        ORDER BY line, start_ns, end_ns DESC
        """,
        {"lines": lines},
    )
    inner: dict[tuple[_Key, int], int] = defaultdict(int)
    line: int | None = None
    stack: list[tuple[int, tuple[_Key, int]]] = []
    while rows := cursor.fetchmany(65536):
        for *key, number, on_line, start_ns, end_ns in rows:
            if on_line != line:
                line, stack = on_line, []
            while stack and stack[-1][0] <= start_ns:
                stack.pop()
            if stack and end_ns <= stack[-1][0]:
                inner[stack[-1][1]] += end_ns - start_ns
            stack.append((end_ns, (_Key(*key), number)))
    return inner
