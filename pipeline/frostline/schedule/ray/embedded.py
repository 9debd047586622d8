"""A Ray of this process's own, on the loopback interface and in a folder of this user alone.

In: the GPUs to announce. Out: `ray` is initialised for the length of a block. Refuses a folder for
temporary files whose path is too long for the paths of sockets.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import ray

from frostline.errors import UsageError
from frostline.schedule.ray.cluster import OwnPath, prepare_environment, stop
from frostline.schedule.scratch import scratch_folder

_OBJECT_STORE_BYTES = 100 * 1024**2  # events are a few hundred bytes each; Ray's least is 75 MiB
_END_S = 5.0
_PREFIX = "frost-"  # short: see `_folder_for_sockets`
_BELOW = "r"  # Ray opens the folder that it is given to everybody, so it gets one in a private one
_TMPDIR = "RAY_TMPDIR"
_SOCKET_BYTES = 107
_LONGEST_SOCKET = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"


@contextmanager
def embedded(*, gpus: int | None = None) -> Iterator[None]:
    """A Ray of this process's own, in a folder that only this user may enter; both end together.

    What a process that was killed has left is removed by the next one of this user.

    Args:
        gpus: GPUs to announce; None: those that Ray finds.

    Raises:
        UsageError: the folder for temporary files cannot be used.
    """
    prepare_environment()
    with ExitStack() as held:
        base = _folder_for_sockets()
        try:
            folder = held.enter_context(scratch_folder(base, prefix=_PREFIX))
        except OSError as error:
            raise UsageError(
                f"Ray cannot have a folder below {base} ({error}): set {_TMPDIR}, or TMPDIR, to "
                "one that you can write to"
            ) from error
        held.callback(_emptied, folder)
        held.callback(stop)
        ray.init(
            job_config=OwnPath(),
            address="local",  # without it, Ray may join a stale cluster
            num_cpus=len(os.sched_getaffinity(0)),
            num_gpus=gpus,
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=str(folder / _BELOW),
        )
        yield


def _folder_for_sockets() -> Path:
    """Where the private folder goes: the path of a socket in it must fit into its 107 bytes.

    Raises:
        UsageError: the folder for temporary files has too long a path.
    """
    base = Path(os.environ.get(_TMPDIR) or tempfile.gettempdir()).absolute()
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
    while any(folder.iterdir()) and time.monotonic() < end:
        shutil.rmtree(folder / _BELOW, ignore_errors=True)
        time.sleep(0.01)
