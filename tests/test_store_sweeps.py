"""Whole sweeps into an object store that fails them, and the commands that read them there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from chaos_driver import fake_facts
from cluster_kit import new_cluster
from local_executor import LocalExecutor
from predict_kit import world
from s3_kit import S3, Fault
from schedule_kit import FAKE, FAST, Fake, Heard, install_fake
from store_kit import trial

from frostline import open_sweep
from frostline.cli import main
from frostline.errors import StorageError, SweepStoppedError
from frostline.plan.trials import plan_trials
from frostline.schedule.lease_spec import Resources
from frostline.store.outdir import OutDir
from frostline.store.publication import publication
from frostline.store.spool import SPOOL_VARIABLE, KeptTrial, Spool
from frostline.study.study import Study, parse_study
from frostline.sweep.result import SweepResult
from frostline.sweep.run import run_sweep

STUDY = """
name = "stored"
[[model]]
name = "net"
builder = "models:net"
[freeze]
policies = ["prefix:1", "prefix:2", "suffix:1"]
anchors = false
[measure]
profile_steps = 0
[resources]
gpus_per_trial = 0
cpus_per_trial = 1
trial_timeout_s = 60.0
"""


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(SPOOL_VARIABLE, str(tmp_path / "spool"))
    return tmp_path / "spool"


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return install_fake(tmp_path / "fake", monkeypatch)


def asked() -> Study:
    return parse_study(STUDY, check_builders=False)


def sweep(
    where: str,
    heard: Heard | None = None,
    *,
    executor: Callable[[Resources], AbstractContextManager] | None = LocalExecutor,
    address: str | None = None,
) -> SweepResult:
    return run_sweep(
        asked(), where, listener=heard, make_executor=executor,
        address=address, inspect=fake_facts, process_module=FAKE,
    )  # fmt: skip


def kept(spool: Path) -> list[str]:
    records = spool.glob("*/*/record.json")
    return [KeptTrial.model_validate_json(each.read_bytes()).trial_id for each in records]


def starts(where: str, fake: Fake, trial_ids: list[str]) -> list[int]:
    """How often each trial was measured, controls apart, which share their policy."""
    rows = {row.trial_id: row for row in open_sweep(where).trial_rows()}
    runs = Counter(fake.runs())
    return [runs[rows[each].policy] for each in trial_ids if not rows[each].is_control]


def test_a_sweep_goes_on_where_its_store_failed_it(
    front: S3, spool: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN a store that refuses after some trials WHEN run again THEN none is measured twice."""
    monkeypatch.setattr(
        "frostline.sweep.run.limits_of", lambda _study: replace(FAST, store_wait_s=0.0)
    )
    where = front.uri(max_attempts=1)
    front.fail(Fault(kind="denied", method="PUT", path="tables/trials/.*parquet", after=2))
    with pytest.raises(SweepStoppedError, match=r"cannot write s3://bucket/.* It is kept in "):
        sweep(where)
    left = kept(spool)
    assert left
    assert len(open_sweep(where).commits) == 2

    # It refuses still: nothing is measured that could not be stored either.
    before = len(fake.runs())
    with pytest.raises(StorageError, match=rf"{len(left)} trials? stays? in {spool}"):
        sweep(where)
    assert len(fake.runs()) == before
    assert sorted(kept(spool)) == sorted(left)

    front.fail()
    heard = Heard()
    again = sweep(where, heard)
    assert (again.exit_code, again.ok) == (0, again.planned)
    assert again.finished_before == 2 + len(left)
    assert f"stored {len(left)} trial" in heard.notices[0]
    assert set(starts(where, fake, left)) <= {1}
    assert len(open_sweep(where).commits) == again.planned
    assert list(spool.iterdir()) == []


def test_the_command_ends_with_one_message_and_its_code(front: S3, tmp_path: Path, capsys) -> None:
    study = tmp_path / "study.toml"
    study.write_text(STUDY.replace("models:net", "keras.applications:MobileNetV2"))
    front.fail(Fault(kind="denied"))
    assert main(["sweep", str(study), "--out", front.uri("closed")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "access denied: these credentials may not do this there" in " ".join(said.err.split())
    assert "secret@" not in said.err
    assert "Traceback" not in said.err


def test_commands_read_a_sweep_where_it_lies(s3: S3, capsys: pytest.CaptureFixture[str]) -> None:
    where = s3.uri()
    world(where, "prefix:*", "suffix:*")  # type: ignore[arg-type]
    opened = open_sweep(where)
    assert opened.sql("SELECT count(*) FROM trials").fetchall() == [(len(opened.commits),)]
    assert main(["predict", where, "--freeze", "prefix:2", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["policy"] == "prefix:2"
    assert main(["report", where]) == 0
    assert "report/index.html" in opened.out.files.walk("report")
    trial_id = next(row.trial_id for row in opened.trial_rows() if not row.is_control)
    assert main(["explain", where, trial_id]) == 0


@pytest.mark.cluster
def test_every_node_stores_what_it_keeps(
    s3: S3, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN trials on the disks of two nodes WHEN resumed THEN they are stored, not measured."""
    where = s3.uri()
    out = OutDir.open(where, create=True)
    out.begin_run(STUDY, asked().digest, asked().name, {})
    facts = fake_facts(asked(), tmp_path)
    plan = [each for each in plan_trials(asked(), facts).trials if not each.is_control]
    spools = [tmp_path / "spool-0", tmp_path / "spool-1"]
    for place, each in zip(spools, plan, strict=False):
        monkeypatch.setenv(SPOOL_VARIABLE, str(place))
        tables = trial(
            each.trial_id, study="stored", policy=each.policy, started_at=datetime.now(UTC)
        )
        Spool(out).keep(tables, publication(tables, {"logs/kept.log": b"kept"}))
    monkeypatch.setenv(SPOOL_VARIABLE, str(tmp_path / "spool-of-the-head"))

    cluster = new_cluster()
    try:
        for number, place in enumerate(spools):
            runtime = tmp_path / f"node-{number}"
            runtime.mkdir()
            cluster.add_node(
                num_cpus=1, env_vars={SPOOL_VARIABLE: str(place), "XDG_RUNTIME_DIR": str(runtime)}
            )
        heard = Heard()
        done = sweep(where, heard, executor=None, address=cluster.address)
    finally:
        cluster.shutdown()
    assert (done.exit_code, done.ok) == (0, done.planned)
    assert sum("stored 1 trial that" in notice for notice in heard.notices) == 2
    kept_trials = plan[: len(spools)]
    assert {each.trial_id for each in heard.outcomes if each.earlier} == {
        each.trial_id for each in kept_trials
    }
    assert not {each.policy for each in kept_trials} & set(fake.runs())
    assert len(heard.outcomes) == done.planned
    assert out.read_text("logs/kept.log") == "kept"
    assert [place for place in spools if place.exists() and list(place.iterdir())] == []
