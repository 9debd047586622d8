"""Joining a Ray cluster the way a measurement needs it, and knowing what room it has.

In: an address. Out: `ray` is initialised. Refuses clusters without room for a single trial.
"""

from __future__ import annotations

import os
import secrets
import socket
import sysconfig
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import ray
from ray._private import ray_constants
from ray._private import worker as ray_worker
from ray.job_config import JobConfig

from frostline.errors import RayUnavailableError, UsageError
from frostline.launch import source_root
from frostline.schedule.lease_spec import Resources, too_small

if TYPE_CHECKING:
    from frostline.schedule.ray.autoscaler import Growth

_Result = TypeVar("_Result")
NODE_WAIT_S = 900.0  # what a cloud takes to start a GPU machine, with reserve
_POLL_S = 0.5
_ANSWER_S = 5.0
_TOKEN = "RAY_AUTH_TOKEN"
_KIND = "accelerator_type:"  # a resource that every node with such a device has one of

# Spelled for other systems; on Linux, too, it decides that a local Ray keeps to 127.0.0.1.
_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_PRINT = ray_worker.print_to_stdstream
_ENVIRONMENT = {
    # Ray nices its workers by 15, and a measuring process would inherit that.
    "RAY_worker_niceness": "0",
    _LOOPBACK: "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class Ask(Protocol):
    """Makes a call into Ray."""

    def __call__(self, work: Callable[[], _Result], /) -> _Result:
        """What the call returns, or raises."""


class OwnPath(JobConfig):  # type: ignore[misc]
    """Workers find this package where the driver found it, and none of the driver's folders.

    Ray would put the driver's working directory first on the workers' module path, where a folder
    of the user's may bear the name of any module.
    """

    def __init__(self) -> None:
        installed = source_root() in {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
        super().__init__(_py_driver_sys_path=[] if installed else [source_root()])

    def _runtime_env_has_working_dir(self) -> bool:
        return True  # what Ray asks before it adds those folders, and nowhere else


def prepare_environment() -> None:
    """Set what a Ray started on this machine reads; before it starts.

    A value that the user has set stays. The token is the one that Ray would write, but readable by
    this user alone; where the home directory takes no file, it is in this process's environment.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Ray reads this one when it is imported, which has happened above.
    if os.environ[_LOOPBACK] == "0":
        ray_constants.ENABLE_RAY_CLUSTER = False
    said = any(os.environ.get(name) for name in (_TOKEN, "RAY_AUTH_TOKEN_PATH"))
    if os.environ.get("RAY_AUTH_MODE") != "disabled" and not said:
        try:
            _make_token(Path.home() / ".ray" / "auth_token")
        except (OSError, RuntimeError):  # read-only, full, or nobody knows where it is
            os.environ[_TOKEN] = secrets.token_hex(32)


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
    _refuse_silent(address)
    be_quiet()
    try:
        ray.init(address=address, job_config=OwnPath(), log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"no Ray cluster answers at {address!r} ({error}): is it up, and is its token in "
            "~/.ray/auth_token?"
        ) from error


def be_quiet() -> None:
    """Keep what raylets say of their own end off standard output, until `stop`."""
    ray_worker.print_to_stdstream = lambda *_said, **_how: None


def _refuse_silent(address: str) -> None:
    """Refuse at once where nothing listens: Ray would try for many minutes."""
    try:
        knock(address)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"no Ray cluster answers at {address!r} ({error}): is it up, and is this its port for "
            "drivers (6379 unless said otherwise)?"
        ) from error


def knock(address: str) -> None:
    """Raise `OSError` where nothing listens; an address without host and port is let pass."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()


def head() -> str:
    """Address of the head of the cluster that this process has joined."""
    return str(ray.get_runtime_context().gcs_address)


def stop() -> None:
    """Leave the cluster; an embedded Ray ends."""
    ray.shutdown()
    ray_worker.print_to_stdstream = _PRINT
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


def node_ids() -> list[str]:
    """Ids of the nodes that are alive."""
    return [node["NodeID"] for node in ray.nodes() if node["Alive"]]


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
        wanted[_KIND + resources.device] = 0.001
    return wanted


def wait_for_room(
    resources: Resources,
    notice: Callable[[str], None],
    *,
    wait_s: float = NODE_WAIT_S,
    ask: Ask = lambda work: work(),
) -> int:
    """Leases that can run at the same time, at least one; Ray itself would wait for ever.

    On a cluster without room for one lease, the autoscaler is asked for a machine and given time,
    unless it says that none of its machine types is large enough.

    Args:
        resources: what a lease holds.
        notice: told when there is something to wait for.
        wait_s: how long; 0 for a cluster that cannot grow.
        ask: makes a call into Ray; default: just so, for who has no limit.

    Raises:
        UsageError: there is no room, and none will come.
    """
    if slots := ask(lambda: slots_of(resources)):
        kinds = ask(_kinds)
        if resources.gpus and not resources.device and len(kinds) > 1:
            notice(
                f"the cluster has GPUs of several kinds ({', '.join(kinds)}), and speedups differ "
                "between them: set device under [resources] to measure on one of them only"
            )
        return slots
    wanted = requested(resources)
    asked: Growth | None = None
    if wait_s:
        from frostline.schedule.ray.autoscaler import ask_for  # slow to import, and seldom needed

        asked = ask(lambda: ask_for(wanted))
    if asked is None:
        raise UsageError(ask(lambda: _no_room(resources)))
    notice(
        f"no node has room for a trial ({_words(wanted)}); asked the cluster for one and waiting "
        f"up to {wait_s / 60:.0f} minutes"
    )
    try:
        end = time.monotonic() + wait_s
        while not (slots := ask(lambda: slots_of(resources))) and time.monotonic() < end:
            if ask(asked.refuses):
                said = ask(lambda: _no_room(resources))
                raise UsageError(
                    f"{said}; the autoscaler cannot bring a machine for it either: none "
                    "of its available_node_types is large enough, or its max_workers are all there"
                )
            time.sleep(_POLL_S)
    finally:
        with suppress(RayUnavailableError):  # what ended the wait counts
            ask(asked.settle)
    if not slots:
        raise UsageError(ask(lambda: _no_room(resources)))
    return slots


def _no_room(resources: Resources) -> str:
    cpus, gpus = largest_node()
    return too_small(resources, cpus=cpus, gpus=gpus, kinds=_kinds())


def _kinds() -> tuple[str, ...]:
    """Kinds of accelerators that the nodes have, ascending."""
    found = {
        name.removeprefix(_KIND)
        for node in ray.nodes()
        if node["Alive"]
        for name in node["Resources"]
        if name.startswith(_KIND)
    }
    return tuple(sorted(found))


def _words(wanted: Mapping[str, float]) -> str:
    return ", ".join(
        name.removeprefix(_KIND) if name.startswith(_KIND) else f"{name} {amount:g}"
        for name, amount in wanted.items()
    )


def _make_token(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
    except OSError:
        path.unlink()
        raise
