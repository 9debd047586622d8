"""The parent's side of a measuring process, against children that misbehave."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from schedule_kit import watched

from frostline.measure.client import DeadlineExceeded, MeasureProcess, ProcessDied
from frostline.measure.messages import Failed, OpenGroup, Ready
from frostline.trial import MeasureSpec, ModelSpec, Setting

CHILD = """
import json, os, signal, sys, time
for line in sys.stdin:
    request = json.loads(line)
    name = request["model"]["name"]
    print(json.dumps({"op": "progress", "stage": "build"}), flush=True)
    if name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "exits":
        sys.exit(7)
    if name == "babbles":
        print("Hello from a library", flush=True)
    if name == "hangs":
        time.sleep(600)
    if name == "fails":
        print(json.dumps({"op": "failed", "stage": "build", "kind": "ValueError",
                          "message": "no", "fatal": True}), flush=True)
        time.sleep(600)
    print(json.dumps({"op": "ready", "device_kind": os.environ["OMP_NUM_THREADS"],
                      "device_id": os.environ["CUDA_DEVICE_ORDER"] + ":"
                                   + os.environ["CUDA_VISIBLE_DEVICES"], "jit_compile": False,
                      "seconds": {}, "rss_bytes": 1}), flush=True)
"""


def request_for(name: str, log: Path) -> OpenGroup:
    return OpenGroup(
        model=ModelSpec(
            name=name, builder="a:b", kwargs_json="{}", loss=None, metrics=(), data=None
        ),
        setting=Setting(
            batch_size=1, optimizer=None, precision="float32", jit_compile="auto", strategy="single"
        ),
        measure=MeasureSpec(
            target_ci=0.1, min_pairs=2, max_pairs=3, profile_steps=1, keep_traces="all", seed=0
        ),
        log_path=str(log),
    )


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MeasureProcess:
    (tmp_path / "speaker.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return MeasureProcess(
        cores=(0,), gpu_ids="", log_path=tmp_path / "log" / "a.log", module="speaker"
    )


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_requests_are_answered_in_turn(process: MeasureProcess, tmp_path: Path) -> None:
    stages: list[str] = []
    with process:
        for _ in range(2):
            waiting = process.request(request_for("fine", tmp_path / "l"), deadline_s=30)
            reply = watched(waiting, stages)
            assert isinstance(reply, Ready)
            assert reply.device_kind == "1"
            # Numbers of GPUs are those of the driver, not CUDA's, which puts the fastest first.
            assert reply.device_id == "PCI_BUS_ID:"
    assert stages == ["build", "build"]
    assert gone(process.pid)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("killed", -9, "SIGKILL.*out-of-memory"),
        ("exits", 7, "exit code 7"),
        ("babbles", None, "Hello from a library"),
    ],
)
def test_a_death_is_told_with_its_stage(
    process: MeasureProcess, tmp_path: Path, name: str, code: int | None, words: str
) -> None:
    with pytest.raises(ProcessDied, match=words) as caught:
        process.reply_to(request_for(name, tmp_path / "l"), deadline_s=30)
    assert caught.value.stage == "build"
    assert caught.value.returncode == code
    assert gone(process.pid)


def test_a_deadline_kills(process: MeasureProcess, tmp_path: Path) -> None:
    with pytest.raises(DeadlineExceeded, match="stage 'build'"):
        process.reply_to(request_for("hangs", tmp_path / "l"), deadline_s=1.0)
    assert gone(process.pid)


def test_an_interruption_kills_soon(process: MeasureProcess, tmp_path: Path) -> None:
    waiting = process.request(request_for("hangs", tmp_path / "l"), deadline_s=60)
    while next(waiting) != "build":
        pass
    with pytest.raises(KeyboardInterrupt):
        waiting.throw(KeyboardInterrupt)
    assert gone(process.pid)


def test_a_caller_that_goes_away_takes_the_process_along(
    process: MeasureProcess, tmp_path: Path
) -> None:
    waiting = process.request(request_for("hangs", tmp_path / "l"), deadline_s=60)
    while next(waiting) != "build":
        pass
    assert next(waiting) is None, "it ticks while it waits"
    assert not gone(process.pid)
    waiting.close()
    assert gone(process.pid)


def test_a_fatal_failure_is_an_answer_and_ends_the_process(
    process: MeasureProcess, tmp_path: Path
) -> None:
    reply = process.reply_to(request_for("fails", tmp_path / "l"), deadline_s=30)
    assert isinstance(reply, Failed)
    assert gone(process.pid)


def test_asking_a_dead_process_says_so(process: MeasureProcess, tmp_path: Path) -> None:
    os.kill(process.pid, 9)
    time.sleep(0.1)
    with pytest.raises(ProcessDied, match="SIGKILL"):
        process.reply_to(request_for("fine", tmp_path / "l"), deadline_s=30)
    process.close()
    process.close()
