"""One driver at a time on an OUT.

In: the files of OUT. Out: `held(files)`, a context manager. Refuses, with `SweepError`, an OUT that
a living driver holds; the lock of a dead one is taken over.

On a disk the lock is the kernel's (`flock` on `.lock`), which dies with its process; `.lock.json`
only says who holds it. An object store has no locks: there `.lock.json` is the lock, with a
heartbeat. `pyarrow.fs` offers no conditional put, so a claim is written, left to settle and read
back: of two drivers that start within that second at most one goes on. The lock is dead when its
process is gone (same host) or when its heartbeat is older than two minutes (another host, whose
clock is taken to be right within a minute).
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from frostline.errors import StorageError, SweepError
from frostline.store.faults import storage_errors
from frostline.store.files import Files

LOCK = ".lock"
OWNER = ".lock.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who holds an OUT.

    Attributes:
        token: unique to one holding.
        pid, pid_started_s: process and its start (seconds since the epoch): numbers are reused.
        host: host name; with the process namespace where the system has them (containers).
        since, heartbeat: UTC.
    """

    token: str
    pid: int
    pid_started_s: float
    host: str
    since: datetime
    heartbeat: datetime


_OWNER: TypeAdapter[Owner] = TypeAdapter(Owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How the lock in an object store is kept alive, in seconds.

    Attributes:
        beat_s: time between heartbeats.
        stale_s: age of the last heartbeat at which another host's lock is dead.
        settle_s: time between writing a claim and reading it back.
    """

    beat_s: float = 15.0
    stale_s: float = 120.0
    settle_s: float = 1.0


@contextmanager
def held(files: Files, pace: Pace = Pace()) -> Iterator[None]:
    """Hold OUT for the length of a block.

    Raises:
        SweepError: another driver holds it; names its process, host and start.
        StorageError: the lock cannot be written.
    """
    root = files.local_root
    with _held_on_disk(files, root) if root else _held_in_store(files, pace):
        yield


@contextmanager
def _held_on_disk(files: Files, root: Path) -> Iterator[None]:
    lock = FileLock(str(root / LOCK), thread_local=False)
    with storage_errors("lock", files.shown, files.scrub):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise _refusal(files, _read(files)) from None
    try:
        _write(files, _new_owner())
        yield
    finally:
        with suppress(StorageError):
            _remove(files)
        lock.release()


@contextmanager
def _held_in_store(files: Files, pace: Pace) -> Iterator[None]:
    found = _read(files)
    if found is not None and _alive(found, pace):
        raise _refusal(files, found)
    mine = _new_owner()
    _write(files, mine)
    time.sleep(pace.settle_s)
    seen = _read(files)
    if seen is None or seen.token != mine.token:
        raise _refusal(files, seen)
    done = threading.Event()
    beating = threading.Thread(
        target=_beat, args=(files, mine, pace, done), name="frostline-lock", daemon=True
    )
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()
        with suppress(StorageError):
            last = _read(files)
            if last is not None and last.token == mine.token:
                _remove(files)


def _beat(files: Files, mine: Owner, pace: Pace, done: threading.Event) -> None:
    while not done.wait(pace.beat_s):
        # A store that cannot be reached for a while is no reason to give the lock up.
        with suppress(StorageError):
            seen = _read(files)
            if seen is not None and seen.token != mine.token:
                return  # taken over while this host could not be heard
            _write(files, _again(mine))


def _new_owner() -> Owner:
    now = datetime.now(UTC)
    return Owner(
        token=uuid.uuid4().hex,
        pid=os.getpid(),
        pid_started_s=psutil.Process().create_time(),
        host=_host(),
        since=now,
        heartbeat=now,
    )


def _again(owner: Owner) -> Owner:
    return Owner(
        token=owner.token,
        pid=owner.pid,
        pid_started_s=owner.pid_started_s,
        host=owner.host,
        since=owner.since,
        heartbeat=datetime.now(UTC),
    )


def _host() -> str:
    name = socket.gethostname()
    if sys.platform != "linux":
        return name
    try:
        return f"{name} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return name


def _alive(owner: Owner, pace: Pace) -> bool:
    if owner.host != _host():
        return datetime.now(UTC) - owner.heartbeat < timedelta(seconds=pace.stale_s)
    try:
        started = psutil.Process(owner.pid).create_time()
    except psutil.Error:
        return False
    return abs(started - owner.pid_started_s) < 1.0


def _refusal(files: Files, owner: Owner | None) -> SweepError:
    who = "another run"
    if owner is not None:
        since = owner.since.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
        who = f"process {owner.pid} on {owner.host.split()[0]} since {since}"
    return SweepError(
        f"{files.shown} is in use by {who}: wait for it, end it, or choose another --out"
    )


def _read(files: Files) -> Owner | None:
    content = files.read(OWNER)
    if content is None:
        return None
    try:
        return _OWNER.validate_json(content)
    except ValidationError:
        return None  # half of nothing: an owner is written atomically, so this is no owner


def _write(files: Files, owner: Owner) -> None:
    with files.batch() as batch:
        batch.put(OWNER, _OWNER.dump_json(owner))


def _remove(files: Files) -> None:
    with files.batch() as batch:
        batch.remove(OWNER)
