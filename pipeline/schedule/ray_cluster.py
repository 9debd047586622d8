"""Starting an embedded Ray, or joining a cluster, the way a measurement needs it.

In: an address, or none for an embedded Ray. Out: `ray` is initialised, on the loopback interface
where it is embedded. Refuses clusters without room for a single trial.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import ray
from ray._private import ray_constants

from pipeline.errors import UsageError
from pipeline.schedule.spec import Resources, too_small

_OBJECT_STORE_BYTES = 100 * 1024**2  # events are a few hundred bytes each; Ray's least is 75 MiB
_NODE_WAIT_S = 900.0  # what a cloud takes to start a GPU machine, with reserve
_POLL_S = 0.5

# Spelled for other systems; on Linux, too, it decides that a local Ray keeps to 127.0.0.1.
_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_ENVIRONMENT = {
    # Ray nices its workers by 15, and a measuring process would inherit that.
    "RAY_worker_niceness": "0",
    _LOOPBACK: "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def start_embedded(*, gpus: int | None = None) -> None:
    """Start a Ray of this process's own; it ends with `stop` or with the process.

    Args:
        gpus: GPUs to announce; None: those that Ray finds.
    """
    prepare_environment()
    ray.init(
        address="local",  # without it, Ray may join a stale cluster
        num_cpus=len(os.sched_getaffinity(0)),
        num_gpus=gpus,
        object_store_memory=_OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )


def prepare_environment() -> None:
    """Set what a Ray started on this machine reads; before it starts.

    A value that the user has set stays. The token is the one that Ray would write, but readable by
    this user alone.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Ray reads this one when it is imported, which has happened above.
    if os.environ[_LOOPBACK] == "0":
        ray_constants.ENABLE_RAY_CLUSTER = False
    if os.environ.get("RAY_AUTH_MODE") != "disabled":
        _make_token(Path.home() / ".ray" / "auth_token")


def join(address: str) -> None:
    """Become a driver of a running cluster; `auto` is the one this job was submitted to.

    Raises:
        UsageError: no cluster answers there, or the address is of another kind.
    """
    if "://" in address:
        raise UsageError(
            f"{address!r} is no cluster address for a sweep: run `frostline submit` with the "
            "http:// address, or `sweep --address auto` on a node of the cluster"
        )
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"no Ray cluster answers at {address!r} ({error}): is it up, and is its token in "
            "~/.ray/auth_token?"
        ) from error


def stop() -> None:
    """Leave the cluster; an embedded one ends."""
    ray.shutdown()
    # This process may join a cluster next, and needs its real address there.
    os.environ.pop(_LOOPBACK, None)
    ray_constants.ENABLE_RAY_CLUSTER = True


def largest_node() -> tuple[int, int]:
    """CPUs and GPUs of the node with most GPUs, then most CPUs; (0, 0) without nodes."""
    sizes = [
        (int(node["Resources"].get("GPU", 0)), int(node["Resources"].get("CPU", 0)))
        for node in ray.nodes()
        if node["Alive"]
    ]
    gpus, cpus = max(sizes, default=(0, 0))
    return cpus, gpus


def slots_of(resources: Resources) -> int:
    """Leases that the nodes there are now can run at the same time."""
    wanted = requested(resources)
    return sum(
        min(int(node["Resources"].get(name, 0) / amount) for name, amount in wanted.items())
        for node in ray.nodes()
        if node["Alive"]
    )


def requested(resources: Resources) -> dict[str, float]:
    """A lease's resources by Ray's names; those it does not need are left out."""
    wanted: dict[str, float] = {"CPU": resources.cpus}
    if resources.gpus:
        wanted["GPU"] = resources.gpus
    if resources.device:
        wanted[f"accelerator_type:{resources.device}"] = 0.001
    return wanted


def wait_for_room(
    resources: Resources, notice: Callable[[str], None], *, wait_s: float = _NODE_WAIT_S
) -> int:
    """Leases that can run at the same time, at least one; Ray itself would wait for ever.

    On a cluster without room for one the autoscaler is asked for it, and given time.

    Args:
        resources: what a lease holds.
        notice: told when there is something to wait for.
        wait_s: how long; 0 for a cluster that cannot grow.

    Raises:
        UsageError: there is still no room.
    """
    if slots := slots_of(resources):
        return slots
    if wait_s:
        from ray.autoscaler.sdk import request_resources

        notice(
            f"no node has room for a trial ({requested(resources)}); asked the cluster for one and "
            f"waiting up to {wait_s / 60:.0f} minutes"
        )
        request_resources(bundles=[requested(resources)])
        end = time.monotonic() + wait_s
        while not (slots := slots_of(resources)) and time.monotonic() < end:
            time.sleep(_POLL_S)
        request_resources(bundles=[])  # from here on, waiting leases are the demand
    if not slots:
        cpus, gpus = largest_node()
        raise UsageError(too_small(resources, cpus=cpus, gpus=gpus))
    return slots


def _make_token(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        path.chmod(0o600)
        return
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(32))
