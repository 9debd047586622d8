"""Leases as Ray tasks: a streaming generator each, so that outcomes arrive one by one.

In: `LeaseSpec`s. Out: their events, and how they ended. Ray's own retries are off: it would start a
lease from its first trial. A task is reused for many leases (`max_calls=0`), since what measures is
a child process.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any, Self

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as _Affinity

from frostline.schedule.events import ExecutorEvent, LeaseEnded, LeaseEvent, LeaseLost
from frostline.schedule.lease_on_node import serve_out, store_kept_of
from frostline.schedule.lease_spec import LeaseSpec, Resources
from frostline.schedule.ray import cluster
from frostline.schedule.ray.embedded import embedded
from frostline.schedule.ray.event_batches import batched
from frostline.store.address import Address
from frostline.store.spool import Stored

_CLUSTER_WAITING = 64  # pending leases are what an autoscaler scales by
_COUNT_EVERY_S = 10.0
_CLUSTER_SLOTS = 4  # chunks are cut for at least so many: a cluster may grow
_CANCEL_S = 10.0
_STORE_KEPT_S = 600.0


@ray.remote(num_returns="streaming", max_retries=0, max_calls=0)  # type: ignore[untyped-decorator]
def _lease(spec: LeaseSpec) -> Iterator[tuple[LeaseEvent, ...]]:
    # Ray leaves CUDA_VISIBLE_DEVICES alone for tasks without GPUs: every GPU would be visible.
    held = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
    yield from batched(serve_out(spec, gpu_ids=",".join(held) if spec.resources.gpus else ""))


@ray.remote(num_cpus=0, max_retries=0)  # type: ignore[untyped-decorator]
def _store_kept(out: Address) -> Stored | None:
    return store_kept_of(out)


class RayExecutor:
    """Runs leases on an embedded Ray or on a cluster; a context manager.

    Starting Ray takes seconds; `start` begins it in the background, and the first use waits for
    it. The thread that does so lives as long as the executor: the kernel ends Ray's processes when
    the thread that started them ends.

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
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="frostline-ray")
        self._held = ExitStack()
        self._started: Future[None] | None = None
        self._room: int | None = None
        self._room_now = 0
        self._count_again_s = 0.0
        self._numbers = itertools.count()
        self._leases: dict[Any, int] = {}

    def __enter__(self) -> Self:
        self._started = self._pool.submit(self._start)
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            if self._started is not None and self._started.exception() is None:
                self.cancel()
        finally:
            self._held.close()
            self._pool.shutdown()

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
            self._room_now = cluster.slots_of(self._resources)
            self._count_again_s = now + _COUNT_EVERY_S
        return self._room_now + _CLUSTER_WAITING

    def submit(self, spec: LeaseSpec) -> int:
        """Start a lease as soon as there is room; return its number."""
        self._wait_for_room()
        wanted = cluster.requested(self._resources)
        task = _lease.options(
            num_cpus=wanted.pop("CPU"),
            num_gpus=wanted.pop("GPU", 0),
            resources=wanted,
            scheduling_strategy="SPREAD",
            name=f"frostline {spec.trials[0].model.name}",
        )
        number = next(self._numbers)
        self._leases[task.remote(spec)] = number
        return number

    def poll(self, timeout_s: float) -> list[tuple[int, ExecutorEvent]]:
        """Wait for events, at most so long."""
        if not self._leases:
            time.sleep(timeout_s)
            return []
        leases = list(self._leases)
        ready, _ = ray.wait(leases, num_returns=len(leases), timeout=0, fetch_local=False)
        if not ready:
            ready, _ = ray.wait(leases, num_returns=1, timeout=timeout_s, fetch_local=False)
        return [
            (number, event)
            for number, lease in [(self._leases[each], each) for each in ready]
            for event in self._next_events(lease)
        ]

    def store_kept(self, out: Address) -> list[Stored]:
        """Let every node store what it keeps for an OUT; this machine has done so already."""
        self._wait_for_room()
        if self._address is None:
            return []
        asked = [
            _store_kept.options(scheduling_strategy=_Affinity(node, soft=False)).remote(out)
            for node in cluster.node_ids()
        ]
        answered, silent = ray.wait(asked, num_returns=len(asked), timeout=_STORE_KEPT_S)
        for each in silent:
            ray.cancel(each)
        found = []
        for each in answered:
            with suppress(exceptions.RayError):  # a node that has just been lost
                found.append(ray.get(each))
        return [stored for stored in found if stored is not None]

    def cancel(self) -> None:
        """End all leases and their processes, and wait until they are gone.

        A cancelled lease takes its measuring process down; one that does not answer is killed, and
        the kernel ends its measuring process.
        """
        for lease in self._leases:
            ray.cancel(lease)
        end = time.monotonic() + _CANCEL_S
        while self._leases and time.monotonic() < end:
            self.poll(0.1)
        for lease in self._leases:
            ray.cancel(lease, force=True)
        self._leases.clear()

    def _start(self) -> None:
        started = time.monotonic()
        if self._address is None:
            self._held.enter_context(embedded(gpus=self._gpus))
        else:
            cluster.join(self._address)
            self._held.callback(cluster.stop)
        self.start_s = time.monotonic() - started

    def _wait_for_room(self) -> int:
        if self._room is None:
            if self._started is None:
                raise RuntimeError("use the executor as a context manager")
            self._started.result()
            if self._address is None:
                self._room = cluster.wait_for_room(self._resources, self._notice, wait_s=0)
            else:
                self._room = cluster.wait_for_room(self._resources, self._notice)
        return self._room

    def _next_events(self, lease: Any) -> tuple[ExecutorEvent, ...]:
        try:
            events: tuple[LeaseEvent, ...] = ray.get(next(lease))
        except StopIteration:
            del self._leases[lease]
            return (LeaseEnded(),)
        except exceptions.RayError as error:
            del self._leases[lease]
            return (_lost(error),)
        return events


def _lost(error: exceptions.RayError) -> LeaseLost:
    """What became of a lease, from what Ray says of its task."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if isinstance(error, exceptions.NodeDiedError | exceptions.ObjectLostError):
        return LeaseLost(cause="node", message=lines[0])
    if isinstance(error, exceptions.RayTaskError):
        return LeaseLost(cause="error", message=lines[-1])
    return LeaseLost(cause="worker", message=lines[0])
