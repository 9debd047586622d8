"""What a step allocates at its peak, and what each op allocates, from the allocator's events.

In: a DuckDB connection and the exported events of a profile. Out: `StepAllocation`, or None where
there are no such events. In graph mode a GPU's profile has one for every allocation and release;
under XLA a step is one block; a CPU's has those of the large tensors alone (the allocator
`mklcpu`).

A release names no op, and the allocator's own counters include what other models hold. So the
bytes of allocations are added and those of releases subtracted from the first event on: the
difference between the highest and the lowest sum is what steps had beyond what was there before.

Allocations of one op are told apart by their region: `temp` is what a kernel works in and gives
back when it ends; others are tensors that it makes. Releases are matched by their address.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_low

import duckdb

from frostline.trace.ops import OpAllocation, StepAllocation

_PEAKS = r"""
WITH events AS (
    SELECT start_ns, kernel_name = 'MemoryAllocation' AS made,
        regexp_extract(trace_args, '(?:^|,)allocator_name=([^,]*)', 1) AS allocator,
        regexp_extract(trace_args, '(?:^|,)requested_bytes=(\d+)', 1) AS requested,
        regexp_extract(trace_args, '(?:^|,)allocation_bytes=(\d+)', 1) AS allocated
    FROM read_parquet($parquet)
    WHERE kernel_name IN ('MemoryAllocation', 'MemoryDeallocation')
), sums AS (
    SELECT allocator,
        sum(CASE WHEN made THEN requested::BIGINT ELSE -requested::BIGINT END) OVER so_far AS asked,
        sum(CASE WHEN made THEN allocated::BIGINT ELSE -allocated::BIGINT END) OVER so_far AS given
    FROM events WHERE requested != '' AND allocated != ''
    WINDOW so_far AS (PARTITION BY allocator ORDER BY start_ns, made ROWS UNBOUNDED PRECEDING)
)
SELECT allocator, (max(asked) - least(min(asked), 0))::BIGINT,
    (max(given) - least(min(given), 0))::BIGINT
FROM sums GROUP BY allocator ORDER BY allocator
"""

_BY_OP = r"""
SELECT kernel_name = 'MemoryAllocation' AS made, coalesce(step, ''),
    regexp_extract(trace_args, '(?:^|,)tf_op=([^,]*)', 1),
    regexp_extract(trace_args, '(?:^|,)addr=(\d+)', 1),
    regexp_extract(trace_args, '(?:^|,)requested_bytes=(\d+)', 1)::BIGINT,
    regexp_extract(trace_args, '(?:^|,)region_type=([^,]*)', 1) = 'temp'
FROM read_parquet($parquet)
WHERE kernel_name IN ('MemoryAllocation', 'MemoryDeallocation')
    AND regexp_extract(trace_args, '(?:^|,)allocator_name=([^,]*)', 1) = $allocator
    AND regexp_extract(trace_args, '(?:^|,)requested_bytes=(\d+)', 1) != ''
ORDER BY start_ns, made
"""

_HOSTS = ("mklcpu", "cpu")


@dataclass(slots=True)
class _OfStep:
    """What one op allocated in one step."""

    tensors: list[int] = field(default_factory=list)
    temporary: int = 0
    most_temporary: int = 0


def step_allocation(
    connection: duckdb.DuckDBPyConnection, where: Mapping[str, str]
) -> StepAllocation | None:
    """The peak of a profile's steps: on the first GPU where there is one, else on the host."""
    found = {
        allocator: StepAllocation(requested_bytes=asked, allocated_bytes=given, allocator=allocator)
        for allocator, asked, given in connection.execute(_PEAKS, where).fetchall()
    }
    gpus = [name for name in found if name.startswith("GPU_") and "host" not in name]
    name = next(iter((*gpus, *(name for name in _HOSTS if name in found))), None)
    return None if name is None else found[name]


def op_allocations(
    connection: duckdb.DuckDBPyConnection, where: Mapping[str, str], allocator: str
) -> tuple[OpAllocation, ...]:
    """What each op typically allocates in a step, by one allocator; ascending by name."""
    by_op: dict[str, dict[str, _OfStep]] = defaultdict(lambda: defaultdict(_OfStep))
    held: dict[str, tuple[_OfStep, int]] = {}
    cursor = connection.execute(_BY_OP, {**where, "allocator": allocator})
    while rows := cursor.fetchmany(65536):
        for made, step, op, address, n_bytes, is_temporary in rows:
            if not made:
                if address in held:
                    own, released = held.pop(address)
                    own.temporary -= released
                continue
            if not op:
                continue
            own = by_op[op][step]
            if not is_temporary:
                own.tensors.append(n_bytes)
                continue
            held[address] = (own, n_bytes)
            own.temporary += n_bytes
            own.most_temporary = max(own.most_temporary, own.temporary)
    return tuple(_typical(op, list(steps.values())) for op, steps in sorted(by_op.items()))


def _typical(op: str, steps: Sequence[_OfStep]) -> OpAllocation:
    """The tensors of most steps, and the median of what is temporary."""
    tensors = Counter(tuple(step.tensors) for step in steps).most_common(1)[0][0]
    temporary = median_low(step.most_temporary for step in steps)
    return OpAllocation(op_name=op, tensor_bytes=tensors, temporary_bytes=temporary)
