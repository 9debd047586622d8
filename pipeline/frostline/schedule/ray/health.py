"""Whether the Ray that a sweep runs on is still there.

In: the processes of an embedded Ray, or the address of a cluster's head. Out: what is wrong, in
words, or nothing. Where its head is gone, Ray itself ends a driver after a minute, on the spot and
with a message about its insides; this is known earlier.
"""

from __future__ import annotations

import time
from typing import Protocol

from frostline.schedule.ray.cluster import knock
from frostline.schedule.ray.processes import RayProcesses

_LOOK_EVERY_S = 1.0
_KNOCK_EVERY_S = 5.0
_SILENT_S = 25.0


class Health(Protocol):
    """Looks now and then."""

    def __call__(self, *, at_once: bool = False) -> str:
        """What is wrong; empty when nothing is. `at_once`: something has just been lost."""


def health_of_processes(processes: RayProcesses) -> Health:
    """Of an embedded Ray."""
    look_again_s = 0.0

    def look(*, at_once: bool = False) -> str:
        nonlocal look_again_s
        now = time.monotonic()
        if now < look_again_s and not at_once:
            return ""
        look_again_s = now + _LOOK_EVERY_S
        return processes.trouble()

    return look


def health_of_head(address: str) -> Health:
    """Of a cluster; a head that does not answer for a moment is no trouble.

    Args:
        address: host and port of its head.
    """
    knock_again_s = heard_s = time.monotonic()

    def look(*, at_once: bool = False) -> str:
        nonlocal knock_again_s, heard_s
        now = time.monotonic()
        if now < knock_again_s:
            return ""
        knock_again_s = now + _KNOCK_EVERY_S
        try:
            knock(address)
        except OSError as error:
            silent_s = now - heard_s
            return (
                f"the head of the cluster at {address} has not answered for {silent_s:.0f} s "
                f"({error}); start the cluster again if it has ended"
                if silent_s > _SILENT_S
                else ""
            )
        heard_s = now
        return ""

    return look
