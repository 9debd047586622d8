"""One machine with an embedded Ray, a sweep on it, and ways to kill and to stop each process of it.

A killed process is gone; a stopped one is there and does nothing, which is what a process that
hangs looks like. Whatever is hit, the run goes on, ends by itself, or ends after one Ctrl-C; when
it has ended, no process of it is left, and nothing in the folder for temporary files.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from chaos_scene import AGENTS_OF_RAY, HERE, MARK, Scene

from frostline.schedule.interrupts import END_S

KINDS = ("measuring", "converter", "worker", "raylet", "gcs_server", "agent", "driver")
_AGENTS = ("log_monitor.py", "runtime_env/agent/main.py", "dashboard/agent.py")
_GOES_ON_S = 240.0
_GONE_S = 20.0


class DriverEndedError(Exception):
    """The driver ended while something was waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A signal to a process, once so many trials are committed.

    Attributes:
        kind: of process.
        number: SIGKILL or SIGSTOP.
        patient: wait for what the program does about it by itself; else press Ctrl-C.
        at: committed trials.
    """

    kind: str
    number: signal.Signals
    patient: bool
    at: int

    def __str__(self) -> str:
        what = "killed" if self.number is signal.SIGKILL else "stopped"
        return f"{self.kind} {what} at {self.at}{'' if self.patient else ', Ctrl-C'}"


class Machine(Scene):
    """A driver with an embedded Ray, and what was done to them.

    Attributes:
        stopped: trials of which a process was stopped.
        codes: exit codes of the drivers.
        wrong: what should not be, in words.
    """

    def __init__(self, folder: Path, *, seed: int, fake: bool, many: bool = False) -> None:
        super().__init__(folder, seed=seed, fake=fake)
        self.stopped: set[str] = set()
        self.codes: list[int] = []
        self.wrong: list[str] = []
        self._waiting: set[psutil.Process] = set()
        self.study = folder / "study.toml"
        asked = (HERE / "chaos_study.toml").read_text()
        for before, now in (
            ("gpus_per_trial  = 1", "gpus_per_trial  = 0"),
            ("trial_timeout_s = 120.0", f"trial_timeout_s = {8.0 if fake else 60.0}"),
            # So that some are left when all has been done, also where Ray is stopped for a while.
            ("random:4@0.5", "random:60@0.5" if many else "random:4@0.5"),
        ):
            assert before in asked
            asked = asked.replace(before, now)
        self.study.write_text(asked)
        (folder / "fake" / "behaviours.json").write_text('{"*": ["slow:1.0"]}')
        # The paths of Ray's sockets have a limit.
        self._base = Path(tempfile.mkdtemp(prefix="fc", dir="/tmp"))
        self.temporary = self._base / "t"
        for name in ("t", "x"):
            (self._base / name).mkdir(mode=0o700)
        os.environ |= {
            MARK: self._mark, "FROSTLINE_FAKE": str(folder / "fake"),
            "PYTHONPATH": f"{HERE}:{HERE.parent / 'pipeline'}:{HERE.parent}",
            "TMPDIR": str(self.temporary), "XDG_RUNTIME_DIR": str(self._base / "x"),
        }  # fmt: skip

    def hit(self, hit: Hit) -> None:
        """Wait for the moment, send the signal, see what becomes of the run, and start it again."""
        process = None
        while process is None:
            self.reach(hit.at)
            if self.finished():
                return
            with suppress(DriverEndedError):
                process = self._target(hit)
        self.done.append(str(hit))
        before = self.committed()
        killed = hit.kind == "driver" and hit.number is signal.SIGKILL
        with suppress(psutil.NoSuchProcess):
            process.send_signal(hit.number)
        if not hit.patient:
            time.sleep(self.random.uniform(0.5, 3.0))
            self._press_ctrl_c(process if hit.kind == "driver" else None)
        elif hit.kind == "driver" and hit.number is signal.SIGSTOP:
            time.sleep(3.0)
            process.resume()
        ends = not hit.patient or hit.kind in ("raylet", "gcs_server") or killed
        self._wait_until_it_goes_on(before, ends=ends, what=str(hit))
        if self._ended():
            self.look_after_the_end(tidy=not killed)
        elif hit.kind == "agent":
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def orphan(self, at: int) -> None:
        """Stop a worker, and kill the driver: nobody is there any more to end the worker."""
        self.reach(at)
        if self.finished():
            return
        self.done.append(f"worker stopped and driver killed at {at}")
        try:
            measuring, _ = self._victim()
        except DriverEndedError:
            return
        worker = measuring.parent()
        measuring.resume()
        if worker is not None:
            worker.suspend()
        self._end_driver()
        self.look_after_the_end(tidy=False)

    def reach(self, at: int) -> None:
        """Run, and run again where the driver ended, until so many trials are committed."""
        while not self.finished():
            if self._ended():
                self.start_driver()
            end = time.monotonic() + _GOES_ON_S
            while not self._ended():
                if self.committed() >= at and self.at_work():
                    return
                assert time.monotonic() < end, f"waited for trial {at}:\n{self.log()}"
                time.sleep(0.05)
            self.look_after_the_end(tidy=True)

    def finished(self) -> bool:
        """Whether some driver has come to the end of the sweep."""
        return any(event[0] == "result" for event in self.events())

    def finish(self) -> None:
        """Run until the sweep is finished."""
        self.reach(10**6)

    def clean_up(self) -> None:
        """End whatever is left, whatever happened."""
        super().clean_up()
        shutil.rmtree(self._base, ignore_errors=True)

    def wait_for(self, ready: Callable[[], object], *, most_s: float, what: str) -> None:
        """As of any scene; a driver that ends, because of what was done before, is no error."""
        end = time.monotonic() + most_s
        while not ready():
            if self._ended():
                raise DriverEndedError
            assert time.monotonic() < end, f"waited {most_s:.0f} s for {what}:\n{self.log()}"
            time.sleep(0.05)

    def _ended(self) -> bool:
        return self._driver is None or self._driver.poll() is not None

    def _target(self, hit: Hit) -> psutil.Process:
        if hit.kind == "driver":
            assert self._driver is not None
            return psutil.Process(self._driver.pid)
        if hit.kind in ("measuring", "worker"):
            process, trial_id = self._victim()
            process.resume()
            if hit.number is signal.SIGSTOP:
                self.stopped.add(trial_id)
            elif hit.kind == "measuring":
                self.killed[trial_id] += 1
            if hit.kind == "measuring":
                return process
            worker = process.parent()
            assert worker is not None
            return worker
        found: list[psutil.Process] = []
        self.wait_for(
            lambda: found.extend(self._of_kind(hit.kind)) or found,
            most_s=_GOES_ON_S, what=str(hit),
        )  # fmt: skip
        return self.random.choice(found)

    def _of_kind(self, kind: str) -> list[psutil.Process]:
        found = []
        for process in self.marked():
            with suppress(psutil.Error):
                said = " ".join(process.cmdline())
                if (
                    (kind == "agent" and any(each in said for each in _AGENTS))
                    or (kind == "converter" and "frostline.trace.process" in said)
                    or process.name() == kind
                ):
                    found.append(process)
        return found

    def _press_ctrl_c(self, stopped: psutil.Process | None) -> None:
        """What a terminal does; a driver that is stopped itself hears it when it goes on."""
        assert self._driver is not None
        with suppress(ProcessLookupError):
            os.killpg(self._driver.pid, signal.SIGINT)
        if stopped is not None:
            with suppress(psutil.NoSuchProcess):
                stopped.resume()

    def _wait_until_it_goes_on(self, before: int, *, ends: bool, what: str) -> None:
        """Wait for the driver's end, or for two more trials where it need not end."""
        most_s = 3 * END_S if ends else _GOES_ON_S
        end = time.monotonic() + most_s
        while not self._ended() and (ends or self.committed() < before + 2):
            if time.monotonic() > end:
                self.wrong.append(
                    f"{what}: the run neither went on nor ended within {most_s:.0f} s"
                )
                self._end_driver()
            time.sleep(0.05)

    def _left(self, *, after_a_kill: bool) -> list[psutil.Process]:
        """What still runs, but for what waits for the GCS of a driver that was killed.

        The next run may end before they have stopped to wait.
        """
        found = []
        for process in self.marked():
            with suppress(psutil.Error):
                said = " ".join(process.cmdline())
                if after_a_kill and said.startswith(AGENTS_OF_RAY):
                    self._waiting.add(process)
                if process not in self._waiting:
                    found.append(process)
        return found

    def look_after_the_end(self, *, tidy: bool = True) -> None:
        """Note the exit code, processes that are left, and files if it could tidy up; once."""
        if self._driver is None:
            return
        code = self._driver.wait(3 * END_S)
        self._driver = None
        self.codes.append(code)
        if code not in (0, 1, 130, -signal.SIGKILL):
            self.wrong.append(f"a driver ended with {code} after {self.done[-1:]}:\n{self.log()}")
        end = time.monotonic() + _GONE_S
        killed = code == -signal.SIGKILL
        while (left := self._left(after_a_kill=killed)) and time.monotonic() < end:
            time.sleep(0.1)
        for process in left:
            with suppress(psutil.Error):
                said = " ".join(process.cmdline())[:120]
                self.wrong.append(f"after {self.done[-1:]} still runs: {process.status()} {said}")
                process.kill()
        if tidy and (files := [path.name for path in self.temporary.iterdir()]):
            self.wrong.append(f"after {self.done[-1:]} left in the temporary folder: {files}")
        log = (self.folder / "driver.log").read_text()
        if "Traceback" in log:
            self.wrong.append(f"a driver printed a traceback:\n{log[-3_000:]}")
