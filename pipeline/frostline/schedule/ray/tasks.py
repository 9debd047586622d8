"""Leases as Ray tasks: a streaming generator each, so that outcomes arrive one by one.

In: `LeaseSpec`s, and tasks that run. Out: their events, and how they ended. Ray's own retries are
off: it would start a lease from its first trial. A task is reused for many leases (`max_calls=0`),
since what measures is a child process. No call waits without a limit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as _Affinity

from frostline.child import die_with_parent
from frostline.schedule.events import (
    ExecutorEvent,
    LeaseBegun,
    LeaseEnded,
    LeaseEvent,
    LeaseLost,
)
from frostline.schedule.lease_on_node import serve_out, store_kept_of
from frostline.schedule.lease_spec import LeaseSpec
from frostline.schedule.ray import cluster
from frostline.schedule.ray.event_batches import batched
from frostline.schedule.ray.processes import end_lease
from frostline.store.address import Address
from frostline.store.spool import Stored

ANSWER_S = 60.0
KILL_S = 5.0
STORE_KEPT_S = 600.0
_NEXT_S = 0.1


@ray.remote(num_returns="streaming", max_retries=0, max_calls=0)  # type: ignore[untyped-decorator]
def lease_task(spec: LeaseSpec) -> Iterator[tuple[LeaseEvent, ...]]:
    """Serve a lease on whichever node Ray chooses; yields its events in batches."""
    # A worker looks now and then whether its raylet lives, which a stopped one does not.
    die_with_parent(os.getppid())
    context = ray.get_runtime_context()
    started_s = psutil.Process().create_time()
    yield (LeaseBegun(pid=os.getpid(), pid_started_s=started_s, node=context.get_node_id()),)
    # Ray leaves CUDA_VISIBLE_DEVICES alone for tasks without GPUs: every GPU would be visible.
    held = context.get_accelerator_ids().get("GPU", [])
    yield from batched(serve_out(spec, gpu_ids=",".join(held) if spec.resources.gpus else ""))


@ray.remote(num_cpus=0, max_retries=0)  # type: ignore[untyped-decorator]
def _store_kept(out: Address) -> Stored | None:
    return store_kept_of(out)


@ray.remote(num_cpus=0, max_retries=0)  # type: ignore[untyped-decorator]
def _end_task(begun: LeaseBegun, most_s: float) -> None:
    end_lease(begun.pid, begun.pid_started_s, most_s=most_s)


def ready_events(leases: list[Any], timeout_s: float) -> list[tuple[Any, ExecutorEvent]]:
    """The events that have come of these leases, waiting for the first at most so long."""
    ready, _ = ray.wait(leases, num_returns=len(leases), timeout=0, fetch_local=False)
    if not ready:
        ready, _ = ray.wait(leases, num_returns=1, timeout=timeout_s, fetch_local=False)
    return [(lease, event) for lease in ready for event in _next_events(lease)]


def _next_events(lease: Any) -> tuple[ExecutorEvent, ...]:
    try:
        # `next` would wait for ever for a lease that was cancelled while its worker was stopped.
        ready = lease._next_sync(timeout_s=_NEXT_S)
        if ready.is_nil():
            return ()
        events: tuple[LeaseEvent, ...] = ray.get(ready, timeout=ANSWER_S / 2)
    except StopIteration:
        return (LeaseEnded(),)
    except exceptions.RayError as error:
        return (_lost(error),)
    return events


def end_at_nodes(begun: list[LeaseBegun], *, most_s: float) -> None:
    """Have the nodes of leases end them (`end_lease`), and wait for that."""
    asked = [
        _end_task.options(scheduling_strategy=_Affinity(each.node, soft=False)).remote(each, most_s)
        for each in begun
    ]
    if asked:
        ray.wait(asked, num_returns=len(asked), timeout=most_s + KILL_S)


def kept_by_nodes(out: Address) -> list[Stored]:
    """Have every node store what it keeps for an OUT; what was stored, by node that answered."""
    asked = [
        _store_kept.options(scheduling_strategy=_Affinity(node, soft=False)).remote(out)
        for node in cluster.node_ids()
    ]
    answered, silent = ray.wait(asked, num_returns=len(asked), timeout=STORE_KEPT_S)
    for each in silent:
        ray.cancel(each)
    found = []
    for each in answered:
        with suppress(exceptions.RayError):  # a node that has just been lost
            found.append(ray.get(each, timeout=ANSWER_S / 2))
    return [stored for stored in found if stored is not None]


def _lost(error: exceptions.RayError) -> LeaseLost:
    """What became of a lease, from what Ray says of its task."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if isinstance(error, _OF_NODES):
        return LeaseLost(cause="node", message=lines[0])
    if isinstance(error, exceptions.RayTaskError):
        return LeaseLost(cause="error", message=lines[-1])
    short = isinstance(error, exceptions.OutOfMemoryError)
    return LeaseLost(cause="worker", message=lines[0], short_of_memory=short)


_OF_NODES = (
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,
    exceptions.LocalRayletDiedError,
    exceptions.GetTimeoutError,
)
