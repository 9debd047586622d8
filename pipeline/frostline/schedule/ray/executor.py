"""Runs leases on Ray: starts or joins it, hands out leases, hears of them, and ends it all.

In: `LeaseSpec`s. Out: their events, and how they ended (`frostline.schedule.ray.tasks`).

Ray itself may die, or stop. Nothing here waits for it without a limit, and a Ray that is gone is an
error (`RayUnavailableError`) rather than the loss of one lease after the other.
"""

from __future__ import annotations

import atexit
import itertools
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from typing import Any, Self, TypeVar

import ray

from frostline.errors import RayUnavailableError, SweepStoppedError
from frostline.schedule.events import (
    ExecutorEvent,
    LeaseBegun,
    LeaseEnded,
    LeaseLost,
)
from frostline.schedule.interrupts import hurried
from frostline.schedule.lease_spec import LeaseSpec, Resources
from frostline.schedule.ray import cluster
from frostline.schedule.ray.calls import RayCalls
from frostline.schedule.ray.embedded import RayPlace, ray_place, start_in
from frostline.schedule.ray.health import Health, health_of_head, health_of_processes
from frostline.schedule.ray.processes import end_lease, end_process
from frostline.schedule.ray.tasks import (
    ANSWER_S,
    KILL_S,
    STORE_KEPT_S,
    end_at_nodes,
    kept_by_nodes,
    lease_task,
    ready_events,
)
from frostline.store.address import Address
from frostline.store.spool import Stored

_Result = TypeVar("_Result")

_CLUSTER_WAITING = 64  # pending leases are what an autoscaler scales by
_COUNT_EVERY_S = 10.0
_CLUSTER_SLOTS = 4  # chunks are cut for at least so many: a cluster may grow
_START_S = 180.0
_CANCEL_S = 10.0
_STOP_S = 10.0
_GONE_S = 25.0  # what a call takes to notice that all of Ray has been killed
_FIRST_WORKER_S = 300.0


class RayExecutor:
    """Runs leases on an embedded Ray or on a cluster; a context manager.

    Starting Ray takes seconds; `start` begins it in the background, and the first use waits for
    it. All calls into Ray are made on one thread (`RayCalls`).

    Attributes:
        start_s: seconds that starting or joining took; 0 before it is done.
    """

    def __init__(
        self,
        resources: Resources,
        *,
        address: str | None = None,
        notice: Callable[[str], None] = lambda _text: None,
        gpus: int | None = None,
    ) -> None:
        """Take what leases hold; nothing is started yet.

        Args:
            resources: what each lease holds.
            address: of a running cluster; None: an embedded Ray.
            notice: told what the user should know while a cluster gets ready.
            gpus: for an embedded Ray: GPUs to announce; None: those that Ray finds.
        """
        self.start_s = 0.0
        self._resources = resources
        self._address = address
        self._notice = notice
        self._gpus = gpus
        self._held = ExitStack()
        self._place: RayPlace | None = None
        self._gone = False
        self._calls: RayCalls | None = None
        self._started: Future[Health] | None = None
        self._health: Health | None = None
        self._room: int | None = None
        self._room_now = 0
        self._count_again_s = 0.0
        self._numbers = itertools.count()
        self._leases: dict[Any, int] = {}
        self._begun: dict[int, LeaseBegun] = {}
        self._heard_s = 0.0
        self._answer_s = ANSWER_S

    def __enter__(self) -> Self:
        self._calls = RayCalls()
        self._started = self._calls.begin(self._start)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.cancel()
            # One that is still starting is waited for, unless somebody waits for this.
            self._stop(_STOP_S if kind is KeyboardInterrupt else ANSWER_S)
        finally:
            try:
                self._settle()
            finally:
                self._held.close()  # the last, since Ray writes its logs as long as it is there

    @property
    def slots(self) -> int:
        """Leases to cut chunks for."""
        room = self._wait_for_room()
        return room if self._address is None else max(room, _CLUSTER_SLOTS)

    @property
    def window(self) -> int:
        """How many leases are kept submitted; a few more than there are slots, so that none idles.

        On a cluster more leases wait, since its autoscaler adds machines for waiting tasks. The
        number of slots is looked up again now and then.
        """
        room = self._wait_for_room()
        if self._address is None:
            return room + 1
        now = time.monotonic()
        if now >= self._count_again_s:
            self._room_now = self._ask(lambda: cluster.slots_of(self._resources))
            self._count_again_s = now + _COUNT_EVERY_S
        return self._room_now + _CLUSTER_WAITING

    def submit(self, spec: LeaseSpec) -> int:
        """Start a lease as soon as there is room; return its number."""
        self._wait_for_room()
        wanted = cluster.requested(self._resources)
        task = lease_task.options(
            num_cpus=wanted.pop("CPU"),
            num_gpus=wanted.pop("GPU", 0),
            resources=wanted,
            scheduling_strategy="SPREAD",
            name=f"frostline {spec.trials[0].model.name}",
        )
        number = next(self._numbers)
        self._leases[self._ask(lambda: task.remote(spec))] = number
        self._heard_s = time.monotonic()
        return number

    def poll(self, timeout_s: float) -> list[tuple[int, ExecutorEvent]]:
        """Wait for events, at most so long.

        Raises:
            RayUnavailableError: Ray is gone, or does not answer.
        """
        self._check()
        if not self._leases:
            time.sleep(timeout_s)
            return []
        leases = list(self._leases)
        found = self._ask(lambda: ready_events(leases, timeout_s))
        if any(isinstance(event, LeaseLost) for _, event in found):
            self._check(at_once=True)  # all leases are lost with Ray, and no trial is to blame
        if found:
            self._heard_s = time.monotonic()
        return [self._noted(lease, event) for lease, event in found]

    def store_kept(self, out: Address) -> list[Stored]:
        """Let every node store what it keeps for an OUT; this machine has done so already."""
        self._wait_for_room()
        if self._address is None:
            return []
        return self._ask(lambda: kept_by_nodes(out), most_s=STORE_KEPT_S + ANSWER_S)

    def kill(self, number: int) -> None:
        """End a lease that has begun, without asking it; nothing more is heard of it."""
        begun = self._begun.pop(number, None)
        for lease in [lease for lease, each in self._leases.items() if each == number]:
            del self._leases[lease]
        if begun is not None and self._address is None:
            end_process(begun.pid, begun.pid_started_s)
        elif begun is not None:
            self._ask(lambda: end_at_nodes([begun], most_s=0.0))

    def cancel(self) -> None:
        """End all leases and their processes, and wait until they are gone, within 20 s.

        A cancelled lease takes its measuring process down; one that does not is killed, and the
        kernel ends its measuring process.
        """
        with suppress(SweepStoppedError):  # with Ray, everything goes
            if self._leases and not self._gone:
                self._answer_s = _CANCEL_S
                self._cancel()
        self._answer_s = ANSWER_S
        self._leases.clear()
        self._begun.clear()

    def _cancel(self) -> None:
        leases, begun = list(self._leases), list(self._begun.values())
        end = time.monotonic() + _CANCEL_S
        self._ask(lambda: [ray.cancel(lease) for lease in leases])
        # Ray may call a lease cancelled before it has ended, and waits for one that is stopped.
        if self._address is None:
            for each in begun:
                left_s = max(0.0, end - time.monotonic())
                end_lease(each.pid, each.pid_started_s, most_s=left_s)
        else:
            self._ask(lambda: end_at_nodes(begun, most_s=_CANCEL_S), most_s=2 * _CANCEL_S)
        self._wait_for_ends(KILL_S)
        if stuck := list(self._leases):
            self._ask(lambda: [ray.cancel(lease, force=True) for lease in stuck])
            self._wait_for_ends(KILL_S)

    def _wait_for_ends(self, most_s: float) -> None:
        end = time.monotonic() + most_s
        while self._leases and time.monotonic() < end and not hurried():
            self.poll(0.1)

    def _start(self) -> Health:
        started = time.monotonic()
        if self._address is None:
            place = self._place = self._held.enter_context(ray_place())
            start_in(place, gpus=self._gpus)
            health = health_of_processes(place.processes)
        else:
            cluster.join(self._address)
            health = health_of_head(cluster.head())
        self.start_s = time.monotonic() - started
        return health

    def _stop(self, started_s: float) -> None:
        """Leave Ray, once it has started, and within a time."""
        # It waits for its processes, but not for the dead.
        if self._gone and self._place is not None:
            self._place.processes.end(most_s=KILL_S)
        if self._calls is not None and self._started is not None:
            with suppress(Exception):  # whoever waited for the start has heard of it
                self._calls.wait_for(self._started, most_s=started_s, what="it was starting")
                most_s = _GONE_S if self._gone else _STOP_S
                # Not in a hurry: killed half way, it would wait for the dead.
                self._calls.ask(cluster.stop, most_s=most_s, what="it was to end", hurries=False)

    def _settle(self) -> None:
        """Leave Ray after all, where it did not let go while its processes were there."""
        if self._calls is None:
            return
        if self._calls.lost:
            if self._place is not None:
                self._place.processes.end(most_s=KILL_S)
            self._calls.settle(cluster.stop, most_s=_GONE_S)
        if self._calls.lost:
            atexit.unregister(ray.shutdown)  # it would hang the end of this process
        self._calls.close()

    def _wait_for_room(self) -> int:
        if self._room is None:
            if self._started is None or self._calls is None:
                raise RuntimeError("use the executor as a context manager")
            self._health = self._calls.wait_for(self._started, most_s=_START_S, what="it starts")
            wait_s = 0.0 if self._address is None else cluster.NODE_WAIT_S
            self._room = cluster.wait_for_room(
                self._resources, self._notice, wait_s=wait_s, ask=self._ask
            )
        return self._room

    def _ask(self, work: Callable[[], _Result], /, most_s: float | None = None) -> _Result:
        if self._calls is None:
            raise RuntimeError("use the executor as a context manager")
        most_s = self._answer_s if most_s is None else most_s
        return self._calls.ask(work, most_s=most_s, what="a sweep was running")

    def _check(self, *, at_once: bool = False) -> None:
        """Raise where Ray is gone, or starts nothing."""
        if self._health is None:
            return
        if trouble := self._health(at_once=at_once):
            self._gone = True
            raise RayUnavailableError(
                f"Ray is gone: {trouble}. What is measured is kept; run the same command again to "
                "resume"
            )
        silent_s = time.monotonic() - self._heard_s if self._leases and not self._begun else 0.0
        if self._address is None and silent_s > _FIRST_WORKER_S:
            raise RayUnavailableError(
                f"Ray has started no worker for {_FIRST_WORKER_S:.0f} s: this machine may be short "
                "of memory, or one of Ray's processes hangs. What is measured is kept; run the "
                "same command again to resume"
            )

    def _noted(self, lease: Any, event: ExecutorEvent) -> tuple[int, ExecutorEvent]:
        """An event with its lease's number, once it is known what it says of the lease."""
        number = self._leases[lease]
        match event:
            case LeaseBegun():
                self._begun[number] = event
            case LeaseEnded() | LeaseLost():
                del self._leases[lease]
                self._begun.pop(number, None)
        return number, event
