"""The interface that a sweep reports its progress to; always called in the sweep's own thread."""

from __future__ import annotations

from typing import Protocol

from frostline.results.outcome import TrialOutcome


class SweepListener(Protocol):
    """Hears what happens; a listener that raises ends the sweep."""

    def on_notice(self, text: str) -> None:
        """Something the user should know that is no trial's fault."""

    def on_planned(self, labels: dict[str, str], finished: int) -> None:
        """The trials are known.

        Args:
            labels: a short label of each trial that will run, by `trial_id`, in run order.
            finished: trials of the plan that are committed already.
        """

    def on_stage(self, trial_id: str, stage: str) -> None:
        """A trial entered a stage."""

    def on_outcome(self, outcome: TrialOutcome) -> None:
        """A trial is committed; with `outcome.again`, one that was committed before."""


class SilentListener:
    """Hears and says nothing."""

    def on_notice(self, text: str) -> None:
        """Nothing."""

    def on_planned(self, labels: dict[str, str], finished: int) -> None:
        """Nothing."""

    def on_stage(self, trial_id: str, stage: str) -> None:
        """Nothing."""

    def on_outcome(self, outcome: TrialOutcome) -> None:
        """Nothing."""
