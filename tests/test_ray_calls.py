"""Calls into Ray that never return, a head that falls silent, processes that are hard to find."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from frostline.errors import RayUnavailableError
from frostline.schedule.ray.calls import RayCalls


@pytest.fixture
def calls() -> Iterator[RayCalls]:
    made = RayCalls()
    yield made
    made.close()


def ask(calls: RayCalls, work: object, most_s: float = 60.0) -> object:
    return calls.ask(work, most_s=most_s, what="a test ran")  # type: ignore[arg-type]


def test_a_call_gives_what_it_returns_or_raises(calls: RayCalls) -> None:
    def fail() -> None:
        raise TimeoutError("its own")

    assert ask(calls, lambda: 3) == 3
    with pytest.raises(TimeoutError, match="its own"):
        ask(calls, fail)
    assert ask(calls, threading.current_thread) is ask(calls, threading.current_thread)
    assert not calls.lost


def test_a_call_that_never_returns_is_left_to_itself(calls: RayCalls) -> None:
    hangs = threading.Event()
    with pytest.raises(RayUnavailableError, match=r"did not answer within 0 s \(a test ran\)"):
        ask(calls, hangs.wait, most_s=0.2)
    assert calls.lost
    with pytest.raises(RayUnavailableError):  # and nobody waits for the next one
        ask(calls, lambda: 3)

    calls.settle(lambda: None, most_s=0.2)
    assert calls.lost
    hangs.set()
    calls.settle(lambda: None, most_s=60.0)
    assert not calls.lost
    assert ask(calls, lambda: 3) == 3


@pytest.mark.cluster
def test_a_head_that_does_not_answer_for_a_moment_is_no_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from frostline.schedule.ray import health

    monkeypatch.setattr(health, "_KNOCK_EVERY_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        look = health.health_of_head(address)
        assert look() == ""
    assert look() == ""
    monkeypatch.setattr(health, "_SILENT_S", 0.0)
    assert f"head of the cluster at {address} has not answered" in look()


# A daemon of Ray: its arguments name the folder, and what it starts has its number.
RAYLET = """
import os, subprocess, sys
command = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"]
worker = subprocess.Popen(
    command, env=os.environ | {"RAY_RAYLET_PID": str(os.getpid())}, stdout=subprocess.PIPE,
    start_new_session=True,
)
worker.stdout.readline()
print(worker.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.cluster
@pytest.mark.parametrize("raylet_ends_first", [False, True])
def test_stopped_workers_of_a_ray_are_found_and_ended(
    tmp_path: Path, raylet_ends_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN a worker that is stopped, and perhaps has lost its raylet THEN it does not stay."""
    from frostline.schedule.ray.processes import RayProcesses

    # The kernel's name of a process is that of its program.
    program = tmp_path / "raylet"
    program.symlink_to(sys.executable)
    monkeypatch.setenv("PYTHONHOME", sys.base_prefix)
    bystander = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env=os.environ | {"RAY_RAYLET_PID": "1"},
    )
    with subprocess.Popen(
        [str(program), "-c", RAYLET, str(tmp_path / "r")], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    ) as raylet:  # fmt: skip
        assert raylet.stdout is not None
        worker = psutil.Process(int(raylet.stdout.readline()))
        processes = RayProcesses(tmp_path)
        processes.note()
        assert processes.trouble() == ""
        worker.suspend()
        if raylet_ends_first:
            raylet.send_signal(signal.SIGKILL)
            raylet.wait()
            assert "`raylet` has ended" in processes.trouble()
        processes.end(most_s=20.0)
        raylet.wait(20)  # psutil may have asked the kernel first how it ended
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
