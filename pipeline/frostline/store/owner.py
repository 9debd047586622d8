"""Who holds an OUT: a process on a host, and whether it still lives.

In: what a lock's file says. Out: `Owner`. A process of this host lives when the kernel knows it
with the same start; one of another host while its heartbeat is young, whose clock is taken to be
right within a minute.
"""

from __future__ import annotations

import os
import socket
import sys
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from pydantic import TypeAdapter, ValidationError

from frostline.errors import SweepError
from frostline.store.files import Files


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A driver that holds an OUT, or wants to.

    Attributes:
        token: unique to one holding.
        pid, pid_started_s: process and its start (seconds since the epoch): numbers are reused.
        host: host name; with the process namespace where the system has them (containers).
        since, heartbeat: UTC.
        holds: False while it is still finding out whether somebody else does.
        supersedes: tokens of owners that it took for dead.
    """

    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    pid: int = field(default_factory=os.getpid)
    pid_started_s: float = field(default_factory=lambda: psutil.Process().create_time())
    host: str = field(default_factory=lambda: _host())
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    heartbeat: datetime = field(default_factory=lambda: datetime.now(UTC))
    holds: bool = True
    supersedes: tuple[str, ...] = ()

    def beat(self) -> Owner:
        """This owner with a heartbeat of now."""
        return replace(self, heartbeat=datetime.now(UTC))

    @property
    def is_here(self) -> bool:
        """Whether it is a process of this host, and of this container."""
        return self.host == _host()

    @property
    def words(self) -> str:
        """`process 123 on host since 2026-01-02 03:04:05 +0000`."""
        since = self.since.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
        return f"process {self.pid} on {self.host.split()[0]} since {since}"

    def lives(self, stale_s: float) -> bool:
        """Whether the driver is alive.

        Args:
            stale_s: age of the last heartbeat at which an owner on another host is dead.
        """
        if self.host != _host():
            return datetime.now(UTC) - self.heartbeat < timedelta(seconds=stale_s)
        try:
            started: float = psutil.Process(self.pid).create_time()
        except psutil.Error:
            return False
        return abs(started - self.pid_started_s) < 1.0

    def to_json(self) -> bytes:
        """As it is written."""
        return _OWNER.dump_json(self)


_OWNER: TypeAdapter[Owner] = TypeAdapter(Owner)


def read_owner(files: Files, name: str) -> Owner | None:
    """What a file says; None when there is none, or it says something else.

    An owner is written whole or not at all, so a file that does not parse is no owner.
    """
    content = files.read(name)
    try:
        return None if content is None else _OWNER.validate_json(content)
    except ValidationError:
        return None


def refusal(files: Files, owner: Owner | None) -> SweepError:
    """What to say to a driver that finds an OUT held."""
    who = "another run" if owner is None else owner.words
    return SweepError(
        f"{files.shown} is in use by {who}: wait for it, end it, or choose another --out"
    )


def _host() -> str:
    name = socket.gethostname()
    if sys.platform != "linux":
        return name
    try:
        return f"{name} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return name
