"""Disjoint CPU cores for the leases of one node, whoever started them.

Ray counts CPUs and never pins them; two leases on the same cores would measure each other. A lease
takes an advisory lock (`flock`) for every core it uses, in a folder that all sweeps of this user on
this machine share. The kernel drops the locks of a process that dies, so nothing is left to clean.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from frostline.errors import UsageError
from frostline.private import private_folder
from frostline.scratch import temporary_folder

_TOPOLOGY = Path("/sys/devices/system/cpu")


class CoreClaim:
    """Cores held until `release`; use as a context manager.

    Attributes:
        cores: their numbers, ascending.
    """

    def __init__(self, cores: Sequence[int], locks: ExitStack) -> None:
        self.cores = tuple(sorted(cores))
        self._locks = locks

    def release(self) -> None:
        """Let others have the cores. Safe to call twice."""
        self._locks.close()

    def __enter__(self) -> CoreClaim:
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()


def claim_cores(
    count: int, *, allowed: Sequence[int] | None = None, folder: Path | None = None
) -> CoreClaim | None:
    """Take `count` free cores at once, or none.

    Args:
        count: how many.
        allowed: candidates; default: those this thread may run on.
        folder: where the locks lie; default: `runtime_folder()`.

    Returns:
        The claim; None while fewer than `count` candidates are free.

    Raises:
        UsageError: there are fewer candidates than `count`, so that waiting would not help.
    """
    candidates = by_topology(allowed if allowed is not None else os.sched_getaffinity(0))
    if count > len(candidates):
        raise UsageError(
            f"a trial needs {count} CPU cores and this process may use {len(candidates)}: lower "
            "cpus_per_trial under [resources], or allow it more cores"
        )
    folder = folder or runtime_folder()
    with ExitStack() as attempt:
        taken: list[int] = []
        for core in candidates:
            if len(taken) == count:
                break
            if _try_lock(folder / f"core-{core}.lock", attempt):
                taken.append(core)
        if len(taken) < count:
            return None
        return CoreClaim(taken, attempt.pop_all())


def holders(*, folder: Path | None = None) -> tuple[int, ...]:
    """Processes that hold cores at the moment, as far as they can be told."""
    found: set[int] = set()
    for path in sorted((folder or runtime_folder()).glob("core-*.lock")):
        with ExitStack() as probe:
            if not _try_lock(path, probe, sign=False) and (text := path.read_text().strip()):
                found.add(int(text))
    return tuple(sorted(found))


def by_topology(cores: Sequence[int] | set[int], root: Path = _TOPOLOGY) -> list[int]:
    """Cores ordered so that the threads of one physical core stand together.

    Taken from the front, a lease gets both threads of a core rather than sharing each of its
    cores with a neighbour.
    """

    def place(core: int) -> tuple[int, int, int]:
        topology = root / f"cpu{core}" / "topology"
        return (
            _number(topology / "physical_package_id", 0),
            _number(topology / "core_id", core),
            core,
        )

    return sorted(cores, key=place)


@contextmanager
def pinned(cores: Sequence[int]) -> Iterator[None]:
    """Keep this thread, and children it starts meanwhile, on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def runtime_folder() -> Path:
    """A private folder of this user that all sweeps on this machine share.

    Raises:
        UsageError: it belongs to someone else, who could hold cores or redirect what is written, or
            it cannot be made.
    """
    said = os.environ.get("XDG_RUNTIME_DIR")
    base = Path(said) if said else temporary_folder()
    otherwise = "set XDG_RUNTIME_DIR to a private folder"
    try:
        return private_folder(base / f"frostline-{os.getuid()}", otherwise)
    except OSError as error:
        raise UsageError(
            f"claims on CPU cores cannot be kept below {base} ({error}): {otherwise}"
        ) from error


def _try_lock(path: Path, stack: ExitStack, *, sign: bool = True) -> bool:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    stack.callback(os.close, handle)
    if sign:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return True


def _number(path: Path, otherwise: int) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return otherwise
