"""`frostline status OUT`: what a sweep has done, from OUT alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from predict_kit import changed, profiled, world

from frostline.cli import main
from frostline.store.outdir import OutDir, TrialTables
from frostline.sweep.status import status as status_of
from frostline.trial import Trial


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return world(tmp_path / "out", "prefix:*", tamper=lambda _trial, rows: profiled(rows))


def ended(out: Path) -> None:
    """Note in the manifest that the last run came to its end."""
    path = out / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["runs"][-1]["finished_at"] = datetime.now(UTC).isoformat()
    manifest["runs"][-1]["trials_planned"] = 40
    path.write_text(json.dumps(manifest))


def test_a_sweep_that_nobody_runs_is_interrupted_until_it_has_ended(out: Path, capsys):
    assert main(["status", str(out)]) == 0
    said = capsys.readouterr().out
    assert "not running and not finished: run it again on this OUT to resume" in said
    ended(out)
    found = status_of(str(out))
    assert found.state == "finished"
    assert found.planned == 40
    assert found.ok == len(list((out / "tables" / "trials").iterdir()))
    (group,) = found.groups
    assert group.fastest == "all_but_head" or (group.speedup or 0) > 1


def run_of_a_part(out: Path) -> None:
    """Note in the manifest a run that measured one trial more."""
    path = out / "manifest.json"
    manifest = json.loads(path.read_text())
    part = {**manifest["runs"][-1], "trials_planned": 4, "of_part": True}
    manifest["runs"].append({**part, "finished_at": datetime.now(UTC).isoformat()})
    path.write_text(json.dumps(manifest))


def test_a_run_of_a_part_of_the_study_does_not_finish_it(out: Path):
    run_of_a_part(out)
    assert status_of(str(out)).state == "interrupted"
    assert status_of(str(out)).planned is None


def test_a_run_of_a_part_of_the_study_changes_no_plan(out: Path):
    ended(out)
    run_of_a_part(out)
    found = status_of(str(out))
    assert (found.state, found.planned, found.runs) == ("finished", 40, 1)


def test_trials_that_the_study_no_longer_has_are_told_apart(out: Path, capsys):
    ended(out)
    path = out / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["runs"][-1]["trials_planned"] = 3
    path.write_text(json.dumps(manifest))
    there = status_of(str(out)).ok
    assert main(["status", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"{there} trials are there; the study has 3 now, and those outside of it stay." in said


def test_a_sweep_that_a_driver_holds_is_running(out: Path):
    with OutDir.open(str(out), create=False).lock():
        found = status_of(str(out))
    assert found.state == "running"
    assert found.holder.startswith("process ")
    assert status_of(str(out)).state == "interrupted"


def test_what_another_machine_holds_cannot_be_told(out: Path):
    with OutDir.open(str(out), create=False).lock():
        owner = json.loads((out / ".lock.json").read_text())
    (out / ".lock.json").write_text(json.dumps({**owner, "host": "elsewhere"}))
    assert status_of(str(out)).state == "held elsewhere"


def test_options_of_jobs_need_an_address(out: Path, capsys):
    for arguments in (["--wait"], ["--log"]):
        assert main(["status", str(out), *arguments]) == 2
        assert "pass --address with it" in capsys.readouterr().err
    assert main(["status"]) == 2
    assert "pass OUT" in capsys.readouterr().err


def test_options_of_one_job_need_its_name(capsys):
    for option in ("--wait", "--log"):
        assert main(["status", "--address", "http://127.0.0.1:1", option]) == 2
        assert f"{option} is for one job: pass its name" in capsys.readouterr().err


def test_status_as_json(out: Path, capsys):
    ended(out)
    assert main(["status", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["kind"], said["state"], said["planned"]) == ("sweep", "finished", 40)
    assert said["json_version"] == 1


def test_the_failures_that_are_told_are_the_last_by_time(tmp_path: Path):
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    ids: list[str] = []

    def failed(trial: Trial, rows: TrialTables) -> TrialTables:
        ids.append(trial.trial_id)
        return changed(
            rows,
            status="failed",
            error_stage="build",
            error_type=f"Error{len(ids)}",
            speedup=None,
            started_at=begun - timedelta(hours=len(ids)),
        )

    found = status_of(str(world(tmp_path / "out", "prefix:*", tamper=failed)))
    assert len(ids) > len(found.failures) == 5
    assert [one.partition("Error")[2].partition(":")[0] for one in found.failures] == list("54321")
