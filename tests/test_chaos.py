"""The short chaos test: one seed of `make chaos`, with trials that measure nothing."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from chaos import STUDY, disturbed_machine, disturbed_sweep, hits_of, plan_of
from chaos_checks import problems
from chaos_machine import KINDS, Hit
from predict_kit import world

from frostline.store.outdir import TrialTables
from frostline.trial import Trial


def let_scenes_set_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FROSTLINE_CHAOS", "FROSTLINE_FAKE", "PYTHONPATH", "TMPDIR", "XDG_RUNTIME_DIR"):
        there = name in os.environ
        monkeypatch.setenv(name, os.environ.get(name, ""))  # so that it is put back
        if not there:
            monkeypatch.delenv(name)


@pytest.mark.cluster
def test_a_disturbed_sweep_has_every_trial_exactly_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN a cluster that loses everything once THEN the tables are as if nothing had happened."""
    let_scenes_set_the_environment(monkeypatch)
    outcome = disturbed_sweep(7, tmp_path, plan=plan_of(7), fake=True)
    assert outcome.wrong == (), outcome.line


SHORT = tuple(
    Hit(kind=kind, number=number, patient=patient, at=at)
    for kind, number, patient, at in (
        ("measuring", signal.SIGSTOP, True, 1),
        ("worker", signal.SIGSTOP, False, 5),
        ("agent", signal.SIGKILL, True, 9),
    )
)


@pytest.mark.cluster
def test_a_machine_whose_processes_are_killed_and_stopped_has_every_trial_exactly_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN a sweep on one machine THEN each run ends, and leaves neither process nor file."""
    let_scenes_set_the_environment(monkeypatch)
    outcome = disturbed_machine(7, tmp_path, hits=SHORT, fake=True)
    assert outcome.wrong == (), outcome.line


def test_a_plan_depends_on_its_seed_alone() -> None:
    assert plan_of(3) == plan_of(3)
    assert plan_of(3) != plan_of(4)
    assert hits_of(3) == hits_of(3)
    both = {(kind, number) for kind in KINDS for number in (signal.SIGKILL, signal.SIGSTOP)}
    assert {(hit.kind, hit.number) for hit in hits_of(3)} == both


def sampled(trial: Trial, rows: TrialTables) -> TrialTables:
    """One pair of samples for every trial."""
    samples = [
        {
            "trial_id": trial.trial_id, "arm": arm, "pair": 0, "position": position,
            "warmup": False, "n_steps": 1, "step_ns": 1_000_000,
        }
        for position, arm in enumerate(("baseline", "trial"))
    ]  # fmt: skip
    return replace(rows, steps=samples, trials=[{**rows.trials[0], "pairs": 1}])


def test_what_is_wrong_with_a_sweep_is_seen(tmp_path: Path) -> None:
    """GIVEN a sweep as it should be WHEN something is off THEN it is named."""
    out = world(tmp_path / "out", text=STUDY.read_text(), tamper=sampled)
    assert list(problems(out, STUDY, {})) == []

    trials, steps = out / "tables" / "trials", out / "tables" / "steps"
    first, second, third, *_ = sorted(path.stem for path in trials.iterdir())
    kept = (trials / f"{first}.parquet").read_bytes()
    (trials / f"{first}.parquet").unlink()
    assert list(problems(out, STUDY, {})) == [f"{first} is missing"]
    (trials / f"{first}.parquet").write_bytes(kept)

    shutil.copyfile(steps / f"{second}.parquet", steps / f"{second}-again.parquet")
    (trials / f"{third}.parquet.tmp").write_bytes(b"")
    found = "\n".join(problems(out, STUDY, {}))
    assert f"{second} has 4 samples, 2 different ones, of 1 pairs" in found
    assert f"tables/trials/{third}.parquet.tmp is left over" in found
    assert f"tables/steps/{second}-again.parquet has rows of another trial" in found
