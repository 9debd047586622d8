"""A child process that speaks lines, against children that do not listen, and what ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from frostline.child import Child
from frostline.launch import command

MiB = 1 << 20
SPEAKER = """
import sys
from frostline.child import connect_to_parent
answers = connect_to_parent()
print("a library prints")
for line in sys.stdin.buffer:
    answers.write(line)
"""
DEAF = """
import time
from frostline.child import connect_to_parent
answers = connect_to_parent()
answers.write(b"here\\n")
time.sleep(600)
"""
PARENT = """
import os, signal, sys
from pathlib import Path
from frostline.child import Child
child = Child("speaker", log=Path(sys.argv[1]))
next(filter(None, child.ask(b"up\\n", deadline_s=60)))
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
Start = Callable[..., Child]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    (tmp_path / "speaker.py").write_text(SPEAKER)
    (tmp_path / "deaf.py").write_text(DEAF)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    started: list[Child] = []

    def start(module: str, cores: tuple[int, ...] = ()) -> Child:
        started.append(Child(module, log=tmp_path / "log", cores=cores))
        return started[-1]

    yield start
    for child in started:
        child.kill()


def answer(child: Child, line: bytes, deadline_s: float = 60) -> bytes:
    return next(filter(None, child.ask(line, deadline_s=deadline_s)))


def test_lines_of_any_length_come_back_and_what_is_printed_does_not(
    start: Start, tmp_path: Path
) -> None:
    child = start("speaker")
    for line in (b"short", b"x" * (3 * MiB)):
        assert answer(child, line + b"\n") == line
    child.close()
    assert child.returncode == 0
    assert (tmp_path / "log").read_text() == "a library prints\n"


def test_several_lines_are_one_at_a_time_also_over_two_requests(start: Start) -> None:
    child = start("speaker")
    assert answer(child, b"one\ntwo\n") == b"one"
    assert answer(child, b"three\n") == b"two"
    assert answer(child, b"four\n") == b"three"


def test_a_line_that_nobody_reads_meets_its_deadline(start: Start) -> None:
    """GIVEN a child that never reads WHEN more is sent than a pipe holds THEN it is given up."""
    child = start("deaf")
    assert answer(child, b"short enough\n") == b"here"
    with pytest.raises(TimeoutError):
        answer(child, b"x" * MiB + b"\n", deadline_s=0.5)
    assert child.returncode is None, "what to do about it is the caller's to decide"


def test_a_stopped_child_meets_its_deadline_and_can_be_killed(start: Start) -> None:
    child = start("speaker")
    answer(child, b"up\n")
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        answer(child, b"x" * MiB + b"\n", deadline_s=0.5)
    child.kill()
    assert child.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "SIGKILL .*out-of-memory"),
        (signal.SIGTERM, "was killed by SIGTERM$"),
        (signal.SIGRTMIN + 1, f"was killed by signal {signal.SIGRTMIN + 1}$"),
    ],
)
def test_a_death_says_by_what(start: Start, number: signal.Signals, words: str) -> None:
    child = start("speaker")
    answer(child, b"up\n")
    os.kill(child.pid, number)
    with pytest.raises(EOFError, match=words):
        answer(child, b"x\n")
    child.close()
    child.close()


def test_it_keeps_to_its_cores(start: Start) -> None:
    core = max(os.sched_getaffinity(0))
    child = start("speaker", cores=(core,))
    answer(child, b"up\n")
    assert os.sched_getaffinity(child.pid) == {core}


def test_a_ctrl_c_is_the_parents(start: Start) -> None:
    child = start("speaker")
    answer(child, b"up\n")
    os.kill(child.pid, signal.SIGINT)
    assert answer(child, b"still here\n") == b"still here"


@pytest.mark.usefixtures("start")
def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.run(
        command("parent", str(tmp_path / "log")), capture_output=True, check=False, timeout=120
    )
    assert parent.returncode == -signal.SIGKILL
    end = time.monotonic() + 20
    while _lives(int(parent.stdout)):
        assert time.monotonic() < end, "it did not end within 20 s"
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
