"""One driver at a time on an OUT.

In: the files of OUT. Out: `held(files)`, a context manager. Refuses, with `SweepError`, an OUT that
a living driver holds; the lock of a dead one is taken over.

On a disk the lock is the kernel's (`flock` on `.lock`), which is released when its process ends;
`.lock.json` only says who holds it. An object store has no locks: there drivers write claims
(`frostline.store.claims`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from frostline.errors import StorageError
from frostline.store.claims import CLAIMS, USUAL, Pace, held_in_store
from frostline.store.files import Files
from frostline.store.hold import Hold
from frostline.store.owner import Owner, read_owner, refusal
from frostline.store.storage_errors import storage_errors

LOCK = ".lock"
OWNER = ".lock.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds an OUT, as far as it can be told.

    Attributes:
        words: the process, in words.
        lives: None where that cannot be told from this machine.
    """

    words: str
    lives: bool | None


def holder(files: Files, pace: Pace = USUAL) -> Holder | None:
    """Who holds OUT, asked without taking anything; None where nobody says so.

    Raises:
        StorageError: OUT cannot be read.
    """
    if files.local_root is None:
        claims = [read_owner(files, name) for name in files.walk(CLAIMS)]
        living = [each for each in claims if each is not None and each.lives(pace.stale_s)]
        return Holder(words=living[0].words, lives=True) if living else None
    owner = read_owner(files, OWNER)
    if owner is None:
        return None
    return Holder(words=owner.words, lives=owner.lives(pace.stale_s) if owner.is_here else None)


@contextmanager
def held(files: Files, pace: Pace = USUAL) -> Iterator[Hold]:
    """Hold OUT for the length of a block.

    Raises:
        SweepError: another driver holds it; names its process, host and start.
        StorageError: the lock cannot be written.
    """
    root = files.local_root
    with _held_on_disk(files, root) if root else held_in_store(files, pace) as hold:
        yield hold


@contextmanager
def _held_on_disk(files: Files, root: Path) -> Iterator[Hold]:
    lock = FileLock(str(root / LOCK), thread_local=False)
    with storage_errors("lock", files.shown, files.scrub):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise refusal(files, read_owner(files, OWNER)) from None
    try:
        with files.batch() as batch:
            batch.put(OWNER, Owner().to_json())
        yield Hold()
    finally:
        with suppress(StorageError), files.batch() as batch:
            batch.remove(OWNER)
        lock.release()
