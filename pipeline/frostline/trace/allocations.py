"""What a step allocates at its peak, from the allocator's events in a profile.

In: a DuckDB connection and the exported events. Out: `StepAllocation`, or None where the profile
has no such events. In graph mode a GPU's profile has one for every allocation and release; under
XLA a step is one block; a CPU's has those of the large tensors alone (the allocator `mklcpu`).

A release names no op, and the allocator's own counters include what other models hold. So the
bytes of allocations are added and those of releases subtracted from the first event on: the
difference between the highest and the lowest sum is what steps had beyond what was there before.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from frostline.trace.ops import StepAllocation

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

_HOSTS = ("mklcpu", "cpu")


def step_allocation(
    connection: duckdb.DuckDBPyConnection, where: Mapping[str, str]
) -> StepAllocation | None:
    """The peak of a profile's steps: on the first GPU where there is one, else on the host."""
    found = {
        allocator: StepAllocation(requested_bytes=asked, allocated_bytes=given)
        for allocator, asked, given in connection.execute(_PEAKS, where).fetchall()
    }
    gpus = [name for name in found if name.startswith("GPU_") and "host" not in name]
    name = next(iter((*gpus, *(name for name in _HOSTS if name in found))), None)
    return None if name is None else found[name]
