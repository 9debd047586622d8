"""Whole sweeps with the fake measuring process: planning, resuming, failing models, exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from local_executor import LocalExecutor
from schedule_kit import FAKE, HERE, Fake, Heard, facts, install_fake

from frostline.errors import SweepError
from frostline.facts.model_facts import ModelFacts
from frostline.measure.messages import Failed
from frostline.results.outcome import LEASE_LOST
from frostline.schedule.lease_spec import Resources
from frostline.store.outdir import OutDir
from frostline.store.read import committed, read_all
from frostline.study.study import Study, parse_study
from frostline.sweep.result import SweepResult
from frostline.sweep.run import run_sweep

LAYERS = ("net/a", "net/b", "net/c", "net/d")
STUDY = """
name = "demo"
[[model]]
name = "net"
builder = "models:net"
[train]
batch_size = [8]
[freeze]
policies = ["prefix:*"]
[measure]
profile_steps = 0
[resources]
cpus_per_trial = 1
trial_timeout_s = 20.0
"""
TWO_MODELS = STUDY.replace(
    "[train]", '[[model]]\nname = "other"\nbuilder = "models:other"\n[train]'
)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return install_fake(tmp_path / "fake", monkeypatch)


def study(text: str = STUDY) -> Study:
    return parse_study(text, check_builders=False)


def all_built(asked: Study, logs: Path) -> Mapping[str, ModelFacts | Failed]:
    return {model.name: replace(facts(LAYERS), name=model.name) for model in asked.models}


def sweep(
    out: Path,
    heard: Heard | None = None,
    *,
    text: str = STUDY,
    inspect: Callable[[Study, Path], Mapping[str, ModelFacts | Failed]] = all_built,
    executor: Callable[[Resources], AbstractContextManager] = LocalExecutor,
) -> SweepResult:
    return run_sweep(
        study(text), str(out), listener=heard, make_executor=executor, inspect=inspect,
        process_module=FAKE,
    )  # fmt: skip


def rows(out: Path) -> dict[str, dict]:
    opened = OutDir.open(str(out), create=False)
    found = read_all(
        opened.files, "trials", committed(opened.files, "trials", opened.commits()), None
    )
    return {row["trial_id"]: row for row in found.to_pylist()}


def test_a_sweep_runs_its_plan_and_a_second_one_finds_it_done(fake: Fake, tmp_path: Path) -> None:
    out, heard = tmp_path / "out", Heard()
    result = sweep(out, heard)

    assert result.exit_code == 0
    assert result.ok == result.planned == len(heard.labels) == len(heard.outcomes)
    assert Counter(fake.runs())["none"] == 3
    assert "control 3" in heard.labels.values()
    manifest = OutDir.open(str(out), create=False).manifest()
    assert manifest is not None
    assert manifest.runs[-1].trials_planned == result.planned
    assert result.seconds["open_import"] >= 3.0

    again = Heard()
    second = sweep(out, again)
    assert (second.exit_code, second.finished_before) == (0, second.planned)
    assert again.finished == second.planned
    assert again.outcomes == []
    assert len(fake.runs()) == result.planned


def test_failed_trials_make_exit_code_1_and_are_not_tried_again(fake: Fake, tmp_path: Path) -> None:
    fake.behave({"prefix:2": ["fail"]})
    first = sweep(tmp_path / "out")
    second = sweep(tmp_path / "out")

    assert (first.exit_code, first.failed) == (1, 1)
    assert (second.exit_code, second.failed) == (1, 1)
    assert Counter(fake.runs())["prefix:2"] == 1


def test_a_trial_that_only_lost_its_lease_is_tried_again_by_the_next_run(
    fake: Fake, tmp_path: Path
) -> None:
    fake.behave({"prefix:2": ["kill-lease", "kill-lease", "ok"]})
    first = sweep(tmp_path / "out")
    lost = [row for row in rows(tmp_path / "out").values() if row["status"] == "failed"]
    second = sweep(tmp_path / "out")

    assert first.failed == 1
    assert [row["error_type"] for row in lost] == [LEASE_LOST]
    assert (second.exit_code, second.finished_before) == (0, first.planned - 1)


def test_a_model_that_cannot_be_built_is_a_failed_row_until_it_can(
    fake: Fake, tmp_path: Path
) -> None:
    def other_broken(asked: Study, logs: Path) -> Mapping[str, ModelFacts | Failed]:
        (logs / "inspect-other.log").write_text("Traceback of the builder")
        broken = Failed(stage="build", kind="ValueError", message="no weights there", fatal=True)
        return {**all_built(asked, logs), "other": broken}

    out, heard = tmp_path / "out", Heard()
    result = sweep(out, heard, text=TWO_MODELS, inspect=other_broken)

    assert (result.exit_code, result.failed) == (1, 1)
    assert any("no weights there" in notice for notice in heard.notices)
    (failed,) = [row for row in rows(out).values() if row["status"] == "failed"]
    assert (failed["model"], failed["error_type"], failed["is_control"]) == (
        "other", "ValueError", True,
    )  # fmt: skip
    assert (out / "logs" / f"{failed['trial_id']}.log").read_text() == "Traceback of the builder"

    mended = sweep(out, text=TWO_MODELS)
    assert (mended.exit_code, mended.finished_before) == (0, result.ok)
    assert failed["trial_id"] not in rows(out)


def test_only_broken_models_still_end_with_their_rows(fake: Fake, tmp_path: Path) -> None:
    def broken(asked: Study, logs: Path) -> Mapping[str, ModelFacts | Failed]:
        return {"net": Failed(stage="build", kind="ImportError", message="no module")}

    result = sweep(tmp_path / "out", inspect=broken)
    assert (result.exit_code, result.planned, result.failed) == (1, 1, 1)
    assert len(rows(tmp_path / "out")) == 1


def test_an_out_that_is_not_this_studys_is_refused_before_anything_starts(
    fake: Fake, tmp_path: Path
) -> None:
    sweep(tmp_path / "out")

    def never(asked: Study, logs: Path) -> Mapping[str, ModelFacts | Failed]:
        raise AssertionError("inspected a model of a study that is refused")

    with pytest.raises(SweepError, match="holds the study 'demo'"):
        sweep(tmp_path / "out", text=STUDY.replace('"demo"', '"mine"'), inspect=never)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(SweepError, match="no sweep's"):
        sweep(tmp_path / "mine", inspect=never)
    assert [each.name for each in (tmp_path / "mine").iterdir() if each.name[0] != "."] == [
        "thesis.tex"
    ]


DRIVER = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
import test_schedule_sweep
if __name__ == "__main__":
    from pathlib import Path
    try:
        test_schedule_sweep.sweep(Path(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_driver_leaves_no_process_and_the_next_one_resumes(
    fake: Fake, tmp_path: Path, number: signal.Signals
) -> None:
    """GIVEN a sweep at work WHEN its driver is killed THEN no trial that was done runs again."""
    fake.behave({"prefix:1": ["hang", "ok"]})
    script, out = tmp_path / "driver.py", tmp_path / "out"
    script.write_text(DRIVER)
    with subprocess.Popen([sys.executable, str(script), str(out)]) as driver:
        end = time.monotonic() + 180  # a machine under load imports Ray for a minute
        while "prefix:1" not in fake.runs():
            assert driver.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        children = psutil.Process(driver.pid).children(recursive=True)
        driver.send_signal(number)
    if number is signal.SIGTERM:
        assert driver.returncode == 130
    _, left = psutil.wait_procs(children, timeout=60)
    assert left == []
    done = set(rows(out)) if (out / "tables" / "trials").exists() else set()

    result = sweep(out)
    assert (result.exit_code, result.finished_before) == (0, len(done))
    started = Counter(fake.runs())
    assert all(
        count == 1 for policy, count in started.items() if policy not in ("none", "prefix:1")
    )
    assert len(rows(out)) == result.planned


@pytest.mark.cluster
def test_a_sweep_on_an_embedded_ray(fake: Fake, tmp_path: Path) -> None:
    heard = Heard()
    result = run_sweep(
        study(), str(tmp_path / "out"), listener=heard, inspect=all_built, process_module=FAKE
    )

    assert (result.exit_code, result.ok) == (0, result.planned)
    assert set(heard.by_id()) == set(rows(tmp_path / "out"))
    assert result.ray_start_s > 0
    assert (Path.home() / ".ray" / "auth_token").stat().st_mode & 0o077 == 0
    assert threading.active_count() < 20
    assert not [pid for pid, _ in fake.requests("open") if psutil.pid_exists(pid)]
    assert os.getpid() not in {pid for pid, _ in fake.requests("open")}
