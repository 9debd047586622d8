"""Events that happen at the same time travel together: fewer Ray objects, none of them late. Pure.

In: a lease's events, with `Idle` where it waits. Out: the events in batches. Every Ray object costs
the driver a look at all leases, and a trial has eight events, most of them within milliseconds of
the next. Events that a lost lease has not sent yet can be spared: the driver finds its commits in
the store, and charges the first trial that is not accounted for with the loss.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from frostline.results.outcome import TrialOutcome
from frostline.schedule.events import Idle, LeaseEvent

HELD_S = 0.05
"""Seconds that an event may wait for others: too short to be noticed by a watching user."""


def batched(
    events: Iterator[LeaseEvent], *, clock: Callable[[], float] = time.monotonic
) -> Iterator[tuple[LeaseEvent, ...]]:
    """Put events together; `Idle` is left out.

    Args:
        events: of a lease; the last ones before a longer wait are followed by `Idle`.
        clock: seconds.

    Yields:
        One event or more, none of them held for longer than `HELD_S` and the time to the next. An
        outcome goes at once: the trial after it may take the lease down.
    """
    held: list[LeaseEvent] = []
    since = 0.0
    for event in events:
        if not isinstance(event, Idle):
            if not held:
                since = clock()
            held.append(event)
        goes = isinstance(event, Idle | TrialOutcome)
        if held and (goes or clock() - since >= HELD_S):
            yield tuple(held)
            held = []
    if held:
        yield tuple(held)
