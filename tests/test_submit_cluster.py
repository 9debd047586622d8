"""Sweeps through the Jobs API of a head that asks for a token, from submission to resuming."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from cluster_head import Head
from schedule_kit import Fake, listening

from frostline.cli import main
from frostline.schedule.available_gpus import available_gpus
from frostline.store.outdir import OutDir

pytestmark = pytest.mark.cluster

STUDY = """
name = "sent away"
[[model]]
name = "net"
builder = "networks:net"
[freeze]
policies = ["prefix:*"]
[measure]
profile_steps = 0
[resources]
gpus_per_trial = 0
cpus_per_trial = 1
trial_timeout_s = 60.0
"""
# `frostline sweep` with a measuring process that needs no TensorFlow; everything else is real.
JOB = """
import functools
import sys
from dataclasses import replace
import networks_used
from frostline.cli import main
from frostline.sweep import run
from schedule_kit import FAKE, facts

def built(study, logs):
    layers = ("net/a", "net/b", "net/c", "net/d")
    return {model.name: replace(facts(layers), name=model.name) for model in study.models}

run.run_sweep = functools.partial(run.run_sweep, inspect=built, process_module=FAKE)
sys.exit(main(["sweep", *sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Fake:
    folder = tmp_path_factory.mktemp("fake")
    fake = Fake(folder)
    fake.behave({})
    return fake


@pytest.fixture(scope="module")
def head(fake: Fake) -> Iterator[Head]:
    head = Head.start({"FROSTLINE_FAKE": str(fake.folder), "XDG_RUNTIME_DIR": str(fake.folder)})
    try:
        yield head
    finally:
        head.end()


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mine"
    (folder / "study_tools").mkdir(parents=True)
    (folder / "study.toml").write_text(STUDY)
    (folder / "networks.py").write_text("def net():\n    raise AssertionError\n")
    (folder / "study_tools" / "__init__.py").write_text("")
    (folder / "job.py").write_text(
        JOB.replace("networks_used", "study.study_tools, study.networks")
    )
    monkeypatch.setattr("frostline.submit.jobs_api.SWEEP", ("python", "-m", "study.job"))
    return folder / "study.toml"


@pytest.fixture
def token_file(head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The right token; nothing is found where Ray looks by itself."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    # Ray itself would go there instead, with the token.
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:9")
    path = tmp_path / "token"
    path.write_text(head.token + "\n")
    path.chmod(0o600)
    return path


def test_a_submitted_sweep_is_followed_to_its_end(
    head: Head, study: Path, token_file: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "out"
    where = ["--address", head.address, "--token-file", str(token_file)]
    assert main(["submit", str(study), "--out", str(out), "--wait", *where]) == 0
    said = capsys.readouterr()
    commits = OutDir.open(str(out), create=False).commits()
    assert set(commits.values()) == {"ok"}
    total = len(commits)
    assert f"{total} trials to run." in said.err
    assert len(re.findall(rf"^\[ *\d+/{total}\] .*x \[", said.err, re.M)) == total
    assert f"results go to {out}: every node must see that folder" in said.err
    assert "is finished" in said.out
    assert (out / "report" / "index.html").is_file()

    (job_id,) = re.findall(r"^Job (frostline-sent-away-[0-9a-f]{8}) is", said.out, re.M)
    assert main(["status", job_id, "--log", *where]) == 0
    shown = capsys.readouterr().out
    assert "Report: " in shown
    assert main(["status", *where]) == 0
    assert f"{job_id} is finished" in capsys.readouterr().out
    assert main(["status", "frostline-none", *where]) == 2
    assert job_id in capsys.readouterr().err

    metrics = metrics_of(head)
    ended = r'ray_frostline_trials_total\{[^}]*status="ok"[^}]*\} (\d+)'
    assert [int(float(each)) for each in re.findall(ended, metrics)] == [total]
    assert "ray_frostline_trials_planned{" in metrics
    details = requests.get(
        f"{head.address}/api/jobs/", headers={"Authorization": f"Bearer {head.token}"}, timeout=10
    ).text
    told = [said.out, said.err, shown, details]
    told += [path.read_text(errors="replace") for path in out.rglob("*") if path.is_file()]
    assert not [text for text in told if head.token in text]
    found = listening(head.processes())
    assert found <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
    assert found


def test_without_the_token_nothing_is_submitted(
    head: Head, study: Path, token_file: Path, tmp_path: Path, capsys
) -> None:
    command = ["submit", str(study), "--out", str(tmp_path / "out"), "--address", head.address]
    assert main(command) == 2
    assert "asks for a token, and there is none" in capsys.readouterr().err
    token_file.write_text("0" * 32)
    assert main([*command, "--token-file", str(token_file)]) == 2
    assert f"does not take the token from {token_file}" in " ".join(capsys.readouterr().err.split())


def test_a_stopped_sweep_is_resumed_by_submitting_it_again(
    head: Head, fake: Fake, study: Path, token_file: Path, tmp_path: Path, capsys
) -> None:
    """GIVEN a trial that hangs WHEN its job is stopped THEN another job does what is left."""
    fake.behave({"prefix:2": ["hang", "ok"]})
    # One lease at a time, so that nothing else is running when it is stopped.
    study.write_text(STUDY.replace("cpus_per_trial = 1", "cpus_per_trial = 2"))
    where = ["--address", head.address, "--token-file", str(token_file)]
    command = ["submit", str(study), "--out", str(tmp_path / "out"), *where]
    assert main(command) == 0
    (job_id,) = re.findall(r"^Job (\S+) is", capsys.readouterr().out, re.M)
    end = time.monotonic() + 60
    while "prefix:2" not in fake.runs():
        assert time.monotonic() < end
        time.sleep(0.1)
    (hanging,) = [pid for pid, policy in fake.requests("run") if policy == "prefix:2"]

    assert main(["stop", job_id, *where]) == 0
    assert "was stopped" in capsys.readouterr().out
    assert not psutil.pid_exists(hanging)
    assert main(["status", job_id, *where]) == 130
    assert "run the same command again to resume" in capsys.readouterr().out
    done = OutDir.open(str(tmp_path / "out"), create=False).commits()
    assert not [each for each in done if "prefix-2" in each]

    assert main([*command, "--wait"]) == 0
    total = len(OutDir.open(str(tmp_path / "out"), create=False).commits())
    assert f"{len(done)} of {total} trials are there already; resuming." in capsys.readouterr().err
    runs = Counter(fake.runs())
    assert sum(runs.values()) == total + 1


def test_what_no_machine_can_have_is_refused(
    head: Head, study: Path, token_file: Path, tmp_path: Path, capsys
) -> None:
    study.write_text(STUDY.replace("cpus_per_trial = 1", "cpus_per_trial = 16"))
    where = ["--address", head.address, "--token-file", str(token_file)]
    assert main(["submit", str(study), "--out", str(tmp_path / "out"), "--wait", *where]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "a trial needs 16 CPU cores and 0 GPUs on one node, and the largest here has 2" in said
    assert "the autoscaler cannot bring a machine for it either" in said


def test_gpus_that_the_autoscaler_could_start_count(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head without GPUs says nothing about the cluster."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", head.token)
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # as the head: keeps to 127.0.0.1
    assert available_gpus(head.gcs) == 1


def test_a_job_holds_a_gpu_where_the_autoscaler_could_start_one(
    head: Head, study: Path, token_file: Path, tmp_path: Path, capsys
) -> None:
    """GIVEN a study that leaves it open THEN its trials wait for a GPU, and use no CPU instead."""
    study.write_text(STUDY.replace("gpus_per_trial = 0\n", ""))
    where = ["--address", head.address, "--token-file", str(token_file)]
    assert main(["submit", str(study), "--out", str(tmp_path / "out"), *where]) == 0
    (job_id,) = re.findall(r"^Job (\S+) is", capsys.readouterr().out, re.M)
    try:
        end, said = time.monotonic() + 90, ""
        while "no node has room for a trial (CPU 1, GPU 1)" not in said:
            assert time.monotonic() < end, said
            time.sleep(0.5)
            main(["status", job_id, *where])
            said = " ".join("".join(capsys.readouterr()).split())
    finally:
        main(["stop", job_id, *where])


def metrics_of(head: Head) -> str:
    """What Prometheus would be told; it is told with some delay."""
    end = time.monotonic() + 40
    while time.monotonic() < end:
        text = requests.get(head.metrics, timeout=10).text
        if "frostline_trials_total" in text:
            return text
        time.sleep(0.5)
    return ""
