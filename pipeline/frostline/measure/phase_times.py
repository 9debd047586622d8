"""Wall time by phase (build, trace, step, check, profile), and reports of the stages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Phases:
    """Adds up the wall time of a trial's phases, and reports each stage that is entered.

    Attributes:
        seconds: by phase, since `restart`; a new mapping after each.
    """

    def __init__(self, enter: Callable[[str], None]) -> None:
        self.seconds: dict[str, float] = {}
        self._enter = enter

    def restart(self) -> None:
        """Start again from zero in a new mapping; holders of the old one keep it."""
        self.seconds = {}

    @contextmanager
    def timed(self, phase: str, stage: str) -> Iterator[None]:
        """Add the block's wall time to a phase, and report the stage."""
        self._enter(stage)
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            self.seconds[phase] = self.seconds.get(phase, 0.0) + spent
