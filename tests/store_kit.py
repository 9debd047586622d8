"""Rows of one trial for the tests of the store, and a sweep to put them into."""

from __future__ import annotations

from datetime import UTC, datetime

from frostline.store.outdir import OutDir, TrialTables


def trial(trial_id: str = "net-1", *, steps: int = 3, **changes: object) -> TrialTables:
    row = {
        "trial_id": trial_id, "study": "demo", "model": "net", "policy": "none", "aliases": [],
        "frozen_layers": [], "frozen_variables": [], "batch_size": 8, "precision": "float32",
        "jit_compile": "auto", "strategy": "single", "is_control": False, "replicate": 0,
        "status": "ok", "warnings": [], "attempts": 1, "frostline_version": "0.1.0",
        "started_at": datetime(2026, 1, 5, tzinfo=UTC), "duration_s": 1.5,
    }  # fmt: skip
    samples = [
        {
            "trial_id": trial_id, "arm": "trial", "pair": pair, "position": 0, "warmup": False,
            "n_steps": 2, "step_ns": 1_000_000,
        }
        for pair in range(steps)
    ]  # fmt: skip
    return TrialTables(trial_id=trial_id, trials=[row | changes], steps=samples)


def begin(out: OutDir, name: str = "demo", digest: str = "d1") -> None:
    out.begin_run('name = "demo"\n', digest, name, {"frostline": "0.1.0"})
