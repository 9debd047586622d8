"""Leases as child processes of this one: no Ray, one node, no GPU, the same events.

For tests, notebooks and benches that want to see the driver without a cluster. A lease's process
can be killed like a Ray worker can, and its measuring process dies with it.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Self

from frostline.child import die_with_parent
from frostline.errors import UsageError
from frostline.schedule.events import (
    ExecutorEvent,
    Idle,
    LeaseBegun,
    LeaseEnded,
    LeaseLost,
)
from frostline.schedule.lease_on_node import serve_out
from frostline.schedule.lease_spec import LeaseSpec, Resources, too_small
from frostline.store.address import Address
from frostline.store.spool import Stored

_END_S = 5.0
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(slots=True, kw_only=True)
class _Child:
    process: BaseProcess
    events: Connection


class LocalExecutor:
    """Runs leases in processes, as many at a time as there are cores for; a context manager.

    Attributes:
        start_s, slots, window: as in `frostline.schedule.driver.Executor`.
    """

    def __init__(self, resources: Resources) -> None:
        """Look at what this machine has.

        Args:
            resources: what each lease holds.

        Raises:
            UsageError: not even one lease fits, or it needs a GPU.
        """
        cores = len(os.sched_getaffinity(0))
        if cores < resources.cpus or resources.gpus:
            raise UsageError(too_small(resources, cpus=cores, gpus=0))
        self.start_s = 0.0
        self.slots = cores // resources.cpus
        self.window = self.slots + 1
        self._numbers = itertools.count()
        self._queued: deque[tuple[int, LeaseSpec]] = deque()
        self._children: dict[int, _Child] = {}

    def submit(self, spec: LeaseSpec) -> int:
        """Start a lease as soon as there is room; return its number."""
        number = next(self._numbers)
        self._queued.append((number, spec))
        self._start_queued()
        return number

    def poll(self, timeout_s: float) -> list[tuple[int, ExecutorEvent]]:
        """Wait for events, at most so long."""
        by_pipe = {child.events: number for number, child in self._children.items()}
        found: list[tuple[int, ExecutorEvent]] = []
        for pipe in wait(list(by_pipe), timeout_s):
            number = by_pipe[pipe]  # type: ignore[index]
            found.append((number, self._next_event(number)))
        self._start_queued()
        return found

    def store_kept(self, out: Address) -> list[Stored]:
        """Nothing: there are no other machines."""
        return []

    def pids(self) -> tuple[int, ...]:
        """Processes of the leases that run."""
        return tuple(child.process.pid or 0 for child in self._children.values())

    def kill(self, number: int) -> None:
        """End a lease that has begun, without asking it; nothing more is heard of it."""
        self._children[number].process.kill()
        self._reap(number)

    def cancel(self) -> None:
        """End all leases and their processes, and wait until they are gone."""
        self._queued.clear()
        for child in self._children.values():
            child.process.terminate()
        for number in list(self._children):
            self._reap(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.cancel()

    def _start_queued(self) -> None:
        while self._queued and len(self._children) < self.slots:
            number, spec = self._queued.popleft()
            receiver, sender = _SPAWN.Pipe(duplex=False)
            process = _SPAWN.Process(
                target=_serve_in_child,
                args=(spec, sender, os.getpid()),
                name=f"frostline-lease-{number}",
            )
            process.start()
            sender.close()  # so that the pipe ends when the child does
            self._children[number] = _Child(process=process, events=receiver)

    def _next_event(self, number: int) -> ExecutorEvent:
        try:
            event: ExecutorEvent = self._children[number].events.recv()
        except (EOFError, ConnectionResetError):
            code = self._reap(number)
            return LeaseLost(cause="worker", message=f"its process ended with exit code {code}")
        if isinstance(event, LeaseEnded | LeaseLost):
            self._reap(number)
        return event

    def _reap(self, number: int) -> int | None:
        child = self._children.pop(number)
        child.process.join(_END_S)
        if child.process.is_alive():
            child.process.kill()
            child.process.join()
        child.events.close()
        return child.process.exitcode


def _serve_in_child(spec: LeaseSpec, events: Connection, parent: int) -> None:
    die_with_parent(parent, by=signal.SIGTERM)
    # A Ctrl-C reaches the whole foreground process group; the driver handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        events.send(LeaseBegun(pid=os.getpid(), pid_started_s=0.0))
        for event in serve_out(spec, gpu_ids=""):
            if not isinstance(event, Idle):
                events.send(event)
        events.send(LeaseEnded())
    except KeyboardInterrupt:
        return
    except Exception as error:  # noqa: BLE001 - told to the driver, as Ray does
        events.send(LeaseLost(cause="error", message=f"{type(error).__name__}: {error}"))
