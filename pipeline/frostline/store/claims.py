"""One driver at a time on an OUT in a store that has no locks and no conditional writes.

In: the files of OUT. Out: `held_in_store(files)`. Every driver writes a claim of its own, a file
that nobody else writes, and then lists all claims. It goes on when it is alone; otherwise it
withdraws, or waits for the other to withdraw. Two drivers cannot both go on, however slow the store
is: of two claims one was written later, and its driver, which lists after that, finds the other. It
takes a store that shows in a listing what was written before it, as S3, Google Cloud Storage and
Azure do.

A claim is renewed by a heartbeat. A claim whose process is gone (same host), or whose heartbeat is
older than two minutes (another host), is removed by the driver that takes over, which names it in
its own claim. A driver that lives, but could not be heard, finds its name there at its next
heartbeat and stops.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from frostline.errors import StorageError
from frostline.store.files import Files
from frostline.store.hold import Hold
from frostline.store.owner import Owner, read_owner, refusal

CLAIMS = ".claims"
_END_S = 10.0  # a store that does not answer may keep the last heartbeat for longer
FORMER = ".lock.json"
"""The one claim that versions before 0.2.0 wrote; respected, and removed when it is dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How claims are kept alive, in seconds.

    Attributes:
        beat_s: time between heartbeats.
        stale_s: age of the last heartbeat at which another host's claim is dead.
        look_s: time between two looks at the claims of others.
        wait_s: how long to wait for others to withdraw.
    """

    beat_s: float = 15.0
    stale_s: float = 120.0
    look_s: float = 0.2
    wait_s: float = 10.0


USUAL = Pace()


@contextmanager
def held_in_store(files: Files, pace: Pace = USUAL) -> Iterator[Hold]:
    """Hold OUT for the length of a block.

    Raises:
        SweepError: another driver holds it; names its process, host and start.
        StorageError: the claim cannot be written or the others cannot be listed.
    """
    for other in _others(files, "", pace)[0]:
        raise refusal(files, other)
    mine = Owner(holds=False)
    try:
        _write(files, mine)
        dead = _wait_until_alone(files, mine, pace)
        mine = replace(mine.beat(), holds=True, supersedes=tuple(owner.token for owner in dead))
        _write(files, mine)
        for owner in dead:
            _remove(files, owner)
        hold = Hold()
        over = threading.Event()
        beating = threading.Thread(
            target=_beat, args=(files, mine, pace, over, hold), name="frostline-lock", daemon=True
        )
        beating.start()
        try:
            yield hold
        finally:
            over.set()
            beating.join(_END_S)
    finally:
        with suppress(StorageError):
            _remove(files, mine)


def _wait_until_alone(files: Files, mine: Owner, pace: Pace) -> list[Owner]:
    """Wait until claims of less right are withdrawn; return the dead ones that are left.

    Raises:
        SweepError: somebody holds OUT, or has more right to it.
    """
    end = time.monotonic() + pace.wait_s
    while True:
        others, dead = _others(files, mine.token, pace)
        if not others:
            return dead
        for other in others:
            if other.holds or other.token < mine.token or time.monotonic() > end:
                raise refusal(files, other)
        time.sleep(pace.look_s)


def _beat(files: Files, mine: Owner, pace: Pace, over: threading.Event, hold: Hold) -> None:
    heard = time.monotonic()
    while not over.wait(pace.beat_s):
        # A store that cannot be reached for a while is no reason to give up.
        with suppress(StorageError):
            if read_owner(files, _name(mine)) is None:
                hold.lose("its claim was removed, by a run that took it for dead")
                return
            silent_s = time.monotonic() - heard
            _write(files, mine.beat())
            for other in _others(files, mine.token, pace)[0]:
                # One that only asks withdraws by itself, unless it may have found this one silent.
                if other.holds or mine.token in other.supersedes or silent_s > pace.stale_s / 2:
                    hold.lose(str(refusal(files, other)))
                    return
            heard = time.monotonic()


def _others(files: Files, token: str, pace: Pace) -> tuple[list[Owner], list[Owner]]:
    """Claims of others, living and dead."""
    names = [name for name in (*files.walk(CLAIMS), FORMER) if not token or token not in name]
    found = [owner for name in names if (owner := read_owner(files, name)) is not None]
    living = [owner for owner in found if owner.lives(pace.stale_s)]
    return living, [owner for owner in found if owner not in living]


def _name(owner: Owner) -> str:
    return f"{CLAIMS}/{owner.token}.json"


def _write(files: Files, owner: Owner) -> None:
    with files.batch() as batch:
        batch.put(_name(owner), owner.to_json())


def _remove(files: Files, owner: Owner) -> None:
    former = read_owner(files, FORMER)
    with files.batch() as batch:
        batch.remove(_name(owner))
        if former is not None and former.token == owner.token:
            batch.remove(FORMER)
