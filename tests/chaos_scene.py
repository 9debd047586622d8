"""A cluster of three machines that are really one, a sweep on it, and ways to break both.

Each node has a core, and its own folders for locks, scratch and spool, as machines of their own
would. All processes carry a mark in their environment, so that none is overlooked, whoever its
parent is by now, and none of anybody else's is touched.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from cluster_kit import new_cluster

HERE = Path(__file__).parent
MARK = "FROSTLINE_CHAOS"
NODES = 3
_MEASURING = ("frostline.measure.process", "fake_measure", "frostline.trace.process")
_LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
AGENTS_OF_RAY = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""Ray's own: they look for their GCS for a minute after it, or their raylet, was killed."""


class Scene:
    """A cluster, a driver, and a record of what was done to them.

    Attributes:
        out: where the sweep's results go.
        study: what is swept.
        done: what was done, in words.
        killed: how often a trial's measuring process was killed.
        touched: trials that anything happened to.
        left_behind: processes that outlived what they belonged to by 10 s, in words.
        open_to_others: addresses beyond loopback that something listened on.
    """

    def __init__(self, folder: Path, *, seed: int, fake: bool) -> None:
        self.out = folder / "out"
        self.folder = folder
        self.study = HERE / "chaos_study.toml"
        self.fake = fake
        self.done: list[str] = []
        self.killed: Counter[str] = Counter()
        self.touched: set[str] = set()
        self.left_behind: list[str] = []
        self.open_to_others: set[str] = set()
        self.random = random.Random(seed)
        self._mark = uuid.uuid4().hex
        self._events = folder / "events.jsonl"
        self._events.touch()
        self._cluster: object = None
        self._driver: subprocess.Popen | None = None
        self._machines = 0
        folder.joinpath("fake").mkdir()
        folder.joinpath("fake", "behaviours.json").write_text('{"*": ["slow:0.3"]}')

    # ---- What there is

    def start_cluster(self) -> None:
        """A head without CPUs, and three nodes with a CPU and a GPU each, which is not there."""
        os.environ |= {
            MARK: self._mark,
            "FROSTLINE_FAKE": str(self.folder / "fake"),
            "PYTHONPATH": f"{HERE}:{HERE.parent / 'pipeline'}:{HERE.parent}",
        }
        self._cluster = new_cluster()
        cores = sorted(os.sched_getaffinity(0))
        for _ in range(NODES):
            machine = self.folder / f"machine-{self._machines}"
            self._machines += 1
            folders = {
                name: machine / name.lower()
                for name in ("XDG_RUNTIME_DIR", "TMPDIR", "FROSTLINE_SPOOL")
            }
            for each in folders.values():
                each.mkdir(parents=True, mode=0o700)
            node = self._cluster.add_node(
                num_cpus=1, num_gpus=1, env_vars={key: str(at) for key, at in folders.items()}
            )
            raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
            core = cores[self._machines % len(cores)]
            for process in (raylet, *raylet.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    process.cpu_affinity([core])

    def start_driver(self) -> None:
        """The sweep, or what is left of it; in a process group of its own, as a shell would."""
        with (self.folder / "driver.log").open("a") as log:
            self._driver = subprocess.Popen(
                [
                    sys.executable, str(HERE / "chaos_driver.py"), str(self.study),
                    "--out", str(self.out), "--events", str(self._events),
                    *(["--address", self._cluster.address] if self._cluster else []),
                    *(["--fake"] if self.fake else []),
                ],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def end_cluster(self) -> None:
        """End every process of the cluster."""
        if self._cluster is not None:
            self._cluster.shutdown()
        self._cluster = None

    def events(self) -> list[list]:
        """What the drivers heard so far."""
        lines = self._events.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def committed(self) -> int:
        """Trials in the tables, counted as a reader from outside would."""
        return len(list(self.out.glob("tables/trials/*.parquet")))

    def wait_for(self, ready: Callable[[], object], *, most_s: float, what: str) -> None:
        """Wait until something holds while the driver runs.

        Raises:
            AssertionError: the driver ended, or it took too long.
        """
        end = time.monotonic() + most_s
        while not ready():
            assert self._driver is not None
            code = self._driver.poll()
            assert code is None, f"the driver ended with {code} before {what}:\n{self.log()}"
            assert time.monotonic() < end, f"waited {most_s:.0f} s for {what}:\n{self.log()}"
            time.sleep(0.05)

    def driver_ends(self, *, most_s: float) -> int:
        """Exit code of the driver, once it has one."""
        assert self._driver is not None
        return self._driver.wait(timeout=most_s)

    def log(self) -> str:
        """The last that drivers printed and heard."""
        heard = [" ".join(map(str, event)) for event in self.events() if event[0] != "stage"]
        printed = (self.folder / "driver.log").read_text().splitlines()
        return "\n".join([*heard[-15:], *printed[-15:]])

    def marked(self) -> list[psutil.Process]:
        """Every process of this scene but this one."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.pid != os.getpid() and process.environ().get(MARK) == self._mark:
                    found.append(process)
        return found

    def at_work(self) -> dict[psutil.Process, str | None]:
        """Measuring processes, with the trial that each is at; None while it opens a baseline."""
        found: dict[psutil.Process, str | None] = {}
        for process in self.marked():
            with suppress(psutil.Error, OSError):
                if any(module in process.cmdline() for module in _MEASURING[:2]):
                    found[process] = _trial_of(process)
        return found

    # ---- What breaks

    def kill_measuring(self) -> None:
        """SIGKILL a measuring process that is at a trial which nothing has hit before."""
        process, trial_id = self._victim()
        process.kill()
        self.killed[trial_id] += 1
        self.done.append(f"measuring process at {trial_id} killed")

    def kill_worker(self) -> None:
        """SIGKILL the worker process of Ray that runs a lease."""
        process, trial_id = self._victim()
        worker = process.parent()
        assert worker is not None
        worker.kill()
        process.resume()
        self.done.append(f"worker with the lease at {trial_id} killed")

    def remove_node(self) -> None:
        """Remove the node at work on some trial, without grace."""
        process, trial_id = self._victim()
        process.resume()
        ancestors = {parent.pid for parent in process.parents()}
        (node,) = [
            node
            for node in self._cluster.worker_nodes
            if node.all_processes["raylet"][0].process.pid in ancestors
        ]
        self._cluster.remove_node(node, allow_graceful=False)
        self.done.append(f"node at {trial_id} removed")

    def kill_driver(self) -> None:
        """SIGKILL the driver, see that its leases go, and run the sweep again."""
        self._end_driver()
        self.done.append(f"driver killed at {self.committed()}")
        self._expect_gone("after the driver was killed")
        self.start_driver()

    def restart_head(self) -> None:
        """Kill the head under the driver; the sweep is submitted to a new cluster."""
        self._cluster.remove_node(self._cluster.head_node, allow_graceful=False)
        self._end_driver()
        self.end_cluster()
        self.done.append(f"head lost at {self.committed()}")
        self._expect_gone("after the head was lost")
        self.start_cluster()
        self.start_driver()

    # ---- What should not be

    def look_who_listens(self) -> None:
        """Note every address beyond loopback that a process of this scene listens on."""
        for process in self.marked():
            with suppress(psutil.Error):
                self.open_to_others |= {
                    f"{connection.laddr.ip}:{connection.laddr.port} ({process.name()})"
                    for connection in process.net_connections("inet")
                    if connection.status == psutil.CONN_LISTEN
                    and connection.laddr.ip not in _LOOPBACK
                }

    def expect_leases_gone(self) -> None:
        """Note leases and measuring processes that still run 10 s after the last driver ended."""
        self._expect_gone("after the sweep")

    def charged(self) -> Counter[str]:
        """How many processes each trial is charged with; two put it into quarantine."""
        return self.killed + Counter(self._lost("worker"))

    def expect_no_process(self) -> None:
        """Note what still runs 10 s after the cluster has ended, Ray's own processes apart."""
        self._expect_gone("after the end", any_kind=True)

    def clean_up(self) -> None:
        """End whatever is left, whatever happened."""
        with suppress(Exception):
            self.end_cluster()
        left = self.marked()
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=10)

    def _end_driver(self) -> None:
        assert self._driver is not None
        self._driver.send_signal(signal.SIGKILL)
        self._driver.wait()

    def _expect_gone(self, when: str, *, any_kind: bool = False) -> None:
        end = time.monotonic() + 10
        outlived = _is_ours if any_kind else _of_a_lease
        while (left := list(filter(outlived, self.marked()))) and time.monotonic() < end:
            time.sleep(0.1)
        for process in left:
            with suppress(psutil.Error):
                self.left_behind.append(f"{' '.join(process.cmdline())[:120]} {when}")

    def _lost(self, cause: str) -> list[str]:
        """Trials that drivers said to be charged with the loss of a lease."""
        return [
            said
            for event in self.events()
            if event[0] == "notice"
            for said in re.findall(rf"lost a lease \({cause}\) at trial (\S+),", event[1])
        ]

    def _victim(self) -> tuple[psutil.Process, str]:
        """A measuring process at work, stopped, so that the trial it is at is known for sure."""
        found: list[tuple[psutil.Process, str]] = []

        def find() -> bool:
            spared = self.touched | set(self._lost(r"\w+"))
            candidates = list(self.at_work().items())
            self.random.shuffle(candidates)
            for process, _ in candidates:
                with suppress(psutil.Error, OSError):
                    process.suspend()
                    trial_id = _trial_of(process)
                    if trial_id is None or trial_id in spared:
                        process.resume()
                        continue
                    self.touched.add(trial_id)
                    found.append((process, trial_id))
                    return True
            return False

        self.wait_for(find, most_s=120, what="a trial that nothing has hit")
        return found[0]


def _trial_of(process: psutil.Process) -> str | None:
    """The trial that a measuring process is at: the log that its output goes to is named so."""
    log = Path(f"/proc/{process.pid}/fd/2").readlink()
    return log.stem if log.suffix == ".log" and not log.stem.startswith("open-") else None


def _of_a_lease(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        said = process.cmdline()
        return any(module in said for module in _MEASURING) or "ray::frostline" in " ".join(said)
    return False


def _is_ours(process: psutil.Process) -> bool:
    """Everything but the daemons and idle workers of Ray, which end in their own time."""
    with suppress(psutil.Error):
        said = " ".join(process.cmdline())
        of_ray = "/site-packages/ray/" in said or said.startswith((*AGENTS_OF_RAY, "ray::IDLE"))
        return bool(said) and not of_ray
    return False
