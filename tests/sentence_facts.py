"""What the tables of a sweep say, by SQL over its Parquet files alone.

The oracle of the property of sentences: it reads no module of Frostline, so that a rule that is
wrong there is not wrong here in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

Row = dict[str, Any]
Cells = Callable[[Row], bool]

TRIALS = """
    select * exclude (started_at),
        forward_ns + activation_gradient_ns + weight_gradient_ns + optimizer_ns + input_ns
            + other_ns as ops_ns,
        least(1.0, busy_ns / (step_ns * case when device_id like 'cpu%' then profiler_overhead
            else 1.0 end)) as busy,
        baseline_step_ns / speedup as paired_ns
    from read_parquet('{out}/tables/trials/*.parquet')
    order by trial_id
"""
OPS = """
    select trial_id, layer, pass, sum(ns_per_step) as ns
    from read_parquet('{out}/tables/op_costs/*.parquet') group by all
"""
LAYERS = """
    select trial_id, layer, "index", kind, mode
    from read_parquet('{out}/tables/layers/*.parquet') order by trial_id, "index"
"""
FLOOR = """
    select max(greatest(abs(speedup - 1), (speedup_high - speedup_low) / 2)) as floor
    from read_parquet('{out}/tables/trials/*.parquet') where is_control
"""
RANKS = """
    with configurations as (
        select frozen_variables, last(frozen_fraction order by trial_id) as x, 0 as none,
            last(earliest_trainable_layer order by trial_id) as place,
            last(speedup order by trial_id) as y
        from read_parquet('{out}/tables/trials/*.parquet')
        where len(frozen_variables) > 0 group by frozen_variables
    ), ranked as (
        select rank() over (order by x) + (count(*) over (partition by x) - 1) / 2 as x,
            rank() over (order by place) + (count(*) over (partition by place) - 1) / 2 as place,
            rank() over (order by y) + (count(*) over (partition by y) - 1) / 2 as y
        from configurations
    )
    select corr(x, y) as fraction, corr(place, y) as place from ranked
"""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The tables of one sweep, as rows."""

    trials: list[Row]
    ops: list[Row]
    layers: list[Row]
    floor: float | None
    rank_of_fraction: float | None
    rank_of_place: float | None

    def trial(self, trial_id: str) -> Row:
        return next(row for row in self.trials if row["trial_id"] == trial_id)

    def named(self, policy: str) -> Row:
        return next(row for row in self.trials if row["policy"] == policy)

    @property
    def controls(self) -> list[Row]:
        return [row for row in self.trials if row["is_control"]]

    @property
    def candidates(self) -> list[Row]:
        return [row for row in self.trials if row["frozen_variables"]]

    def modes(self, trial_id: str) -> list[Row]:
        return [row for row in self.layers if row["trial_id"] == trial_id]

    def verdict(self, row: Row) -> str:
        inside = self.floor is not None and abs(row["speedup"] - 1) <= self.floor
        if inside or row["speedup_low"] <= 1 <= row["speedup_high"]:
            return "none"
        return "faster" if row["speedup"] > 1 else "slower"

    def part(self, row: Row, cells: Cells, step_ns: float) -> float:
        """Nanoseconds of some ops of a trial in a step of that length, by its profile."""
        mine = [op for op in self.ops if op["trial_id"] == row["trial_id"]]
        wanted = sum(op["ns"] for op in mine if cells(op))
        return float(step_ns * row["busy"] * wanted / sum(op["ns"] for op in mine))

    def in_trial(self, row: Row, cells: Cells) -> float:
        return self.part(row, cells, row["paired_ns"])

    def in_controls(self, row: Row, cells: Cells) -> list[float]:
        """The same part of this trial's baseline, as each other control splits it."""
        return [
            self.part(one, cells, row["baseline_step_ns"])
            for one in self.controls
            if one["trial_id"] != row["trial_id"]
        ]


def facts_of(out: Path) -> Facts:
    """Read a sweep's tables."""

    def rows(query: str) -> list[Row]:
        found = _base().execute(query.format(out=out))
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    ranks = rows(RANKS)[0]
    return Facts(
        trials=rows(TRIALS),
        ops=rows(OPS),
        layers=rows(LAYERS),
        floor=rows(FLOOR)[0]["floor"],
        rank_of_fraction=ranks["fraction"],
        rank_of_place=ranks["place"],
    )


@cache
def _base() -> duckdb.DuckDBPyConnection:
    """One connection for all sweeps, since opening one takes as long as all questions to it."""
    return duckdb.connect(config={"threads": 1})
