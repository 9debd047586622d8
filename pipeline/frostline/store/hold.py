"""An OUT that a driver holds, and whether it still does."""

from __future__ import annotations

from frostline.errors import SweepError


class Hold:
    """What `OutDir.lock` gives; check it before anything that must not happen twice."""

    def __init__(self) -> None:
        self._why = ""

    def lose(self, why: str) -> None:
        """Note that another driver has taken over."""
        self._why = why

    def check(self) -> None:
        """Raise when OUT is not held any more.

        Raises:
            SweepError: another driver has taken over while this one could not be heard.
        """
        if self._why:
            raise SweepError(
                f"this run has lost its hold on the results: {self._why}. What is committed stays; "
                "run the same command again when the other run has ended"
            )
