"""The benchmark of overhead, small: what it compares stores the same tables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from local_executor import LocalExecutor
from many_trials import Watch
from noop import facts, inspected, study, write_trial

from frostline.plan.trials import plan_trials
from frostline.store.outdir import OutDir
from frostline.store.sweep import open_sweep
from frostline.sweep.run import run_sweep

BENCH = Path(__file__).parents[1] / "bench"
TRIALS = 7


def test_both_sides_store_the_same_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(BENCH))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    asked = study(TRIALS, cpus=len(os.sched_getaffinity(0)))
    watch = Watch()
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    done = run_sweep(
        asked, str(ours), listener=watch, make_executor=LocalExecutor, inspect=inspected,
        process_module="noop_process",
    )  # fmt: skip
    assert (done.ok, len(watch.ended_s)) == (TRIALS, TRIALS)

    OutDir.open(str(theirs), create=True).begin_run(asked.text, asked.digest, asked.name, {})
    for trial in plan_trials(asked, {"net": facts()}).trials:
        write_trial(trial, facts(), str(theirs))
    mine, other = open_sweep(str(ours)), open_sweep(str(theirs))
    assert mine.commits == other.commits
    for table in ("steps", "layers", "op_costs", "graph_ops"):
        assert mine.table(table).equals(other.table(table))
    assert len(mine.table("steps")) == 22 * TRIALS
