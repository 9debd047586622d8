"""What must hold of a sweep's results whatever happened to it, as a reader from outside sees them.

In: OUT on a disk, the study. Out: what is wrong, in words; nothing where all is right.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from frostline.errors import FrostlineError
from frostline.facts.model_facts import facts_path, parse_facts
from frostline.plan.trials import plan_trials
from frostline.results.outcome import LEASE_LOST
from frostline.store.arrow import to_table
from frostline.store.schema import TABLES
from frostline.study.study import load_study

_QUARANTINED = {"ProcessKilled", LEASE_LOST}
_PATTERNS = (
    r"study\.toml", r"manifest\.json", r"tables/\w+/{trial}\.parquet", r"logs/{trial}\.log",
    r"tensorboard/.+", r"models/.+", r"facts/.+", r"report/.+",
)  # fmt: skip


def problems(
    out: Path, study: Path, charged: Mapping[str, int], stopped: Collection[str] = ()
) -> Iterator[str]:
    """Everything that is wrong with a finished sweep.

    Args:
        out: its output directory.
        study: the study file.
        charged: how many processes each trial took down.
        stopped: trials of which a process was stopped, so that they may have taken too long.
    """
    planned = planned_ids(out, study)
    rows = duckdb.sql(
        f"SELECT * FROM read_parquet('{out}/tables/trials/*.parquet', union_by_name = true)"
    ).to_arrow_table()
    found = Counter(rows["trial_id"].to_pylist())
    yield from (f"{trial_id} is missing" for trial_id in planned - set(found))
    yield from (f"{trial_id} is nobody's" for trial_id in set(found) - planned)
    yield from (
        f"{trial_id} is there {times} times" for trial_id, times in found.items() if times > 1
    )
    for row in rows.to_pylist():
        given_up = charged.get(row["trial_id"], 0) > 1 and row["error_type"] in _QUARANTINED
        too_long = row["trial_id"] in stopped and row["error_type"] == "Timeout"
        if row["status"] != "ok" and not given_up and not too_long:
            yield f"{row['trial_id']} {row['status']}: {row['error_type']}: {row['error_message']}"
    yield from _invalid_rows(out)
    yield from _mixed_attempts(out)
    yield from _strange_files(out, planned)


def planned_ids(out: Path, study: Path) -> set[str]:
    """Trials that the study asks for, by what OUT knows of its models."""
    asked = load_study(study, check_builders=False)
    facts = {
        model.name: parse_facts((out / facts_path(model.name)).read_text())
        for model in asked.models
    }
    return {trial.trial_id for trial in plan_trials(asked, facts).trials}


def _invalid_rows(out: Path) -> Iterator[str]:
    for table in TABLES:
        for path in sorted(out.glob(f"tables/{table}/*.parquet")):
            rows = pq.read_table(path)
            try:
                to_table(table, [_as_written(row) for row in rows.to_pylist()])
            except FrostlineError as error:
                yield f"{path.relative_to(out)}: {error}"
            if set(rows["trial_id"].to_pylist()) != {path.stem}:
                yield f"{path.relative_to(out)} has rows of another trial"


def _as_written(row: dict[str, object]) -> dict[str, object]:
    """A row as the store takes it: pairs of op and output, which Arrow reads as mappings."""
    inputs = row.get("inputs")
    if not isinstance(inputs, list):
        return row
    return row | {"inputs": [(each["op"], each["output"]) for each in inputs]}


def _mixed_attempts(out: Path) -> Iterator[str]:
    """Trials whose samples are not those of one attempt: two of each pair, each of them once."""
    wrong = duckdb.sql(
        f"""
        SELECT trial_id, pairs, count(s.pair) FILTER (NOT s.warmup) AS samples,
            count(DISTINCT (s.arm, s.pair)) FILTER (NOT s.warmup) AS different
        FROM read_parquet('{out}/tables/trials/*.parquet', union_by_name = true) AS t
        LEFT JOIN read_parquet('{out}/tables/steps/*.parquet') AS s USING (trial_id)
        WHERE t.status = 'ok' GROUP BY trial_id, pairs
        HAVING samples != 2 * pairs OR different != 2 * pairs
        """
    ).fetchall()
    for trial_id, pairs, samples, different in wrong:
        yield f"{trial_id} has {samples} samples, {different} different ones, of {pairs} pairs"


def _strange_files(out: Path, planned: set[str]) -> Iterator[str]:
    trial = "(?:" + "|".join(map(re.escape, planned)) + ")"
    known = [re.compile(pattern.replace("{trial}", trial)) for pattern in _PATTERNS]
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_dir() or name == ".lock":
            continue
        if not any(pattern.fullmatch(name) for pattern in known):
            yield f"{name} is left over"
