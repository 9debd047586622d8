"""The processes of an embedded Ray: whether they live, and an end to all of them.

In: the folder of that Ray. Out: what its daemons are up to, and no process left. Ray's workers end
when they notice that their raylet is gone, which a stopped one does not; so they are found by what
Ray writes into their environment, whoever their parent is by now.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from frostline.schedule.interrupts import hurried

_RAYLET = "RAY_RAYLET_PID"
"""In the environment of all that a raylet starts, and of what that starts."""
_DAEMONS = ("gcs_server", "raylet")
_STOPPED_S = 30.0
_SLICE_S = 0.05


class RayProcesses:
    """The processes of the Ray whose files lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = f"/{folder.name}/"
        self._daemons: dict[str, psutil.Process] = {}
        self._raylets: dict[str, float] = {}
        self._stopped_since: dict[str, float] = {}

    def note(self) -> None:
        """Remember the daemons that there are now; they are children of this process."""
        for process in self._children():
            with suppress(psutil.Error):
                name = process.name()
                if name in _DAEMONS:
                    self._daemons[name] = process
                if name == "raylet":
                    self._raylets[str(process.pid)] = process.create_time()

    def trouble(self) -> str:
        """What keeps a daemon from its work, in words; empty when nothing does."""
        for name, process in self._daemons.items():
            state = _state(process)
            if state in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return (
                    f"its process `{name}` has ended; often the kernel ends one when memory is "
                    "short (`dmesg` tells)"
                )
            if state != psutil.STATUS_STOPPED:
                self._stopped_since.pop(name, None)
            elif self._stopped_for(name) > _STOPPED_S:
                return (
                    f"its process `{name}` ({process.pid}) has been stopped for "
                    f"{_STOPPED_S:.0f} s (`kill -CONT {process.pid}` lets it go on)"
                )
        return ""

    def end(self, *, most_s: float) -> None:
        """Kill whatever is left, and wait until it is gone, at most so long."""
        self.note()
        end = time.monotonic() + most_s
        while (left := list(self._left())) and time.monotonic() < end:
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=0.1)

    def _stopped_for(self, name: str) -> float:
        now = time.monotonic()
        return now - self._stopped_since.setdefault(name, now)

    def _children(self) -> Iterator[psutil.Process]:
        for process in psutil.Process().children():
            with suppress(psutil.Error):
                if any(self._folder in argument for argument in process.cmdline()):
                    yield process

    def _left(self) -> Iterator[psutil.Process]:
        """Daemons and what a raylet has started, as far as they still run."""
        yield from self._children()
        mine, here = os.getuid(), os.getpid()
        for process in psutil.process_iter() if self._raylets else ():
            with suppress(psutil.Error):
                if process.pid == here or process.uids().real != mine:
                    continue
                since = self._raylets.get(process.environ().get(_RAYLET, ""))
                if since is not None and process.create_time() >= since and _lives(process):
                    yield process


def end_process(pid: int, started_s: float) -> None:
    """Kill a process of this machine, if it is still the one that had this number."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if abs(process.create_time() - started_s) < 1.0:
            process.kill()


def end_lease(pid: int, started_s: float, *, most_s: float) -> None:
    """Wait until a cancelled lease has ended its own processes, at most so long; else kill it.

    A worker of Ray outlives its lease, so it is killed only where it still has children, or is
    stopped.
    """
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        end = time.monotonic() + most_s
        while abs(process.create_time() - started_s) < 1.0 and _is_busy(process):
            if time.monotonic() > end or hurried():
                process.kill()
                return
            time.sleep(_SLICE_S)


def _is_busy(process: psutil.Process) -> bool:
    return bool(process.children()) or _state(process) == psutil.STATUS_STOPPED


def _lives(process: psutil.Process) -> bool:
    return _state(process) not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def _state(process: psutil.Process) -> str:
    try:
        return str(process.status()) if process.is_running() else psutil.STATUS_DEAD
    except psutil.Error:
        return psutil.STATUS_DEAD
