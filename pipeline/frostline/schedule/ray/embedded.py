"""A Ray of this process's own, on the loopback interface and in a folder of this user alone.

In: the GPUs to announce. Out: `ray` is initialised, and later gone with its processes and files.
Refuses, before anything is started, a folder for temporary files that Ray could not work in; what
else keeps Ray from starting is a `RayUnavailableError`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import ray

from frostline.errors import FrostlineError, RayUnavailableError, StorageError, UsageError
from frostline.machine import usable_cores
from frostline.schedule.cores import runtime_folder
from frostline.schedule.ray.cluster import OwnPath, be_quiet, prepare_environment, stop
from frostline.schedule.ray.processes import RayProcesses
from frostline.scratch import refuse_full, remove_dead, scratch_folder, temporary_folder

_OBJECT_STORE_BYTES = 100 * 1024**2  # events are a few hundred bytes each; Ray's least is 75 MiB
_END_S = 5.0
_PREFIX = "frost-"  # short: see `_folder_for_sockets`
_BELOW = "r"  # Ray opens the folder that it is given to everybody, so it gets one in a private one
_TMPDIR = "RAY_TMPDIR"
_SOCKET_BYTES = 107
_LONGEST_SOCKET = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_PATIENT = {"gcs_rpc_server_reconnect_timeout_s": 86_400}
"""Without its head, Ray would end this process on the spot; a sweep ends in order, and earlier."""
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class RayPlace:
    """Where an embedded Ray lives.

    Attributes:
        folder: private, for this run.
        processes: of that Ray.
    """

    folder: Path
    processes: RayProcesses


@contextmanager
def ray_place() -> Iterator[RayPlace]:
    """A private folder in which Ray can work, and the end of whatever has been started in it.

    All that a sweep on this machine needs of the machine before it starts Ray is tried here, so
    that `frostline doctor` can try it too. What a process that was killed has left is removed by
    the next one of this user.

    Raises:
        UsageError: a folder is not to be used as it is.
        StorageError: the disk with the folder for temporary files is full.
    """
    prepare_environment()
    runtime_folder()  # leases keep their claims on cores there
    base = _folder_for_sockets()
    with ExitStack() as held:
        try:
            folder = held.enter_context(scratch_folder(base, prefix=_PREFIX))
        except StorageError as error:
            raise UsageError(
                f"Ray cannot have a folder below {base} ({error}): set {_TMPDIR}, or TMPDIR, to "
                "one that you can write to"
            ) from error
        refuse_full(base)
        processes = RayProcesses(folder)
        held.callback(_emptied, folder)
        held.callback(remove_dead, temporary_folder())  # of leases that are killed in the end
        held.callback(processes.end, most_s=_END_S)
        yield RayPlace(folder, processes)


def start_in(place: RayPlace, *, gpus: int | None = None) -> None:
    """Start Ray.

    Args:
        place: of `ray_place`.
        gpus: GPUs to announce; None: those that Ray finds.

    Raises:
        UsageError: this process has a Ray already.
        RayUnavailableError: it does not start.
    """
    if ray.is_initialized():
        raise UsageError(
            "this process is connected to a Ray already: call ray.shutdown() first, pass the "
            "address of that Ray, or start a new process"
        )
    be_quiet()
    try:
        ray.init(
            job_config=OwnPath(),
            address="local",  # without it, Ray may join a stale cluster
            num_cpus=usable_cores(),
            num_gpus=gpus,
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=str(place.folder / _BELOW),
            _system_config=_PATIENT,
        )
    except FrostlineError:
        raise
    except Exception as error:
        with suppress(Exception):  # it may have got anywhere
            stop()
        said = " ".join(str(error).split())[:_SHOWN] or type(error).__name__
        raise RayUnavailableError(
            f"Ray did not start on this machine: {said}. `frostline doctor --thorough` tries the "
            f"same; see that {place.folder.parent} has free space and that memory is not short, "
            "then run the same command again"
        ) from error
    finally:
        place.processes.note()


@contextmanager
def embedded(*, gpus: int | None = None) -> Iterator[None]:
    """An embedded Ray for the length of a block, for who waits for it without a limit.

    Args:
        gpus: as in `start_in`.

    Raises:
        UsageError, StorageError, RayUnavailableError: as `ray_place` and `start_in`.
    """
    with ray_place() as place:
        start_in(place, gpus=gpus)
        try:
            yield
        finally:
            stop()


def _folder_for_sockets() -> Path:
    """Where the private folder goes: the path of a socket in it must fit into its 107 bytes.

    Raises:
        UsageError: the folder for temporary files has too long a path.
        StorageError: there is none.
    """
    said = os.environ.get(_TMPDIR)
    base = Path(said).absolute() if said else temporary_folder()
    left = _SOCKET_BYTES - len(f"/{_PREFIX}000000/{_BELOW}/{_LONGEST_SOCKET}")
    if len(os.fsencode(base)) > left:
        raise UsageError(
            f"the folder for temporary files, {base}, has too long a path for Ray's sockets "
            f"({len(os.fsencode(base))} bytes; {left} at most): set {_TMPDIR} to a shorter one, "
            "such as /tmp"
        )
    return base


def _emptied(folder: Path) -> None:
    """Wait until Ray's processes, which have been told to end, no longer write to their folder."""
    end = time.monotonic() + _END_S
    with suppress(FileNotFoundError):  # somebody has removed it
        while any(folder.iterdir()) and time.monotonic() < end:
            shutil.rmtree(folder / _BELOW, ignore_errors=True)
            time.sleep(0.01)
