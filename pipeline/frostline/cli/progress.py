"""The progress of a sweep: a bar with the running trials on a terminal, else one line per trial.

In: the sweep's events. Out: text on a console (standard error).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from frostline.cli.tables import FittedTable
from frostline.results.outcome import TrialOutcome
from frostline.words import interval, ratio, ratio_with_interval

MOST_SHOWN = 4
"""Running trials that are listed by name; a cluster runs more."""
LATEST = 12
"""Results that are listed under the bar of a terminal."""
FAILED = "  failed "
"""What stands between a trial and why it failed, in a line."""


def trials_bar(
    console: Console,
    *,
    counts: Iterable[ProgressColumn] = (),
    end: Iterable[ProgressColumn] = (),
    transient: bool = False,
) -> Progress:
    """A bar over the trials of a sweep, with more columns behind the counts and at the end."""
    return Progress(
        TextColumn("trials"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        *counts,
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        *end,
        console=console,
        transient=transient,
        speed_estimate_period=1800,
    )


class SweepProgress:
    """Shows a sweep while it runs; a context manager, and the sweep's listener."""

    def __init__(self, console: Console) -> None:
        """Show on this console, with a bar if it is a terminal."""
        self._console = console
        self._done = self._failed = self._total = 0
        self._planned = False
        self._labels: dict[str, str] = {}
        self._running: dict[str, str] = {}
        self._latest: deque[TrialOutcome] = deque(maxlen=LATEST)
        self._reasons: dict[str, int] = {}
        failed = TextColumn("{task.fields[failed]}", style="red")
        self._bar = trials_bar(console, counts=[failed])
        self._task = self._bar.add_task("trials", total=None, failed="")
        self._live = (
            Live(console=console, get_renderable=self._picture, transient=True)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start(refresh=True)
        return self

    def __exit__(self, *raised: object) -> None:
        if self._live:
            self._live.stop()

    def on_notice(self, text: str) -> None:
        """Show a notice that concerns no single trial."""
        self._say(Text.assemble(("note: ", "yellow"), text))

    def on_planned(self, labels: dict[str, str], finished: int) -> None:
        """The trials of the sweep are known: labels, by `trial_id`, of those that will run.

        As many as `finished` others are committed already.
        """
        self._labels, self._planned = dict(labels), True
        self._total, self._done = len(labels) + finished, finished
        self._bar.update(self._task, total=self._total, completed=finished)
        if finished and labels:
            self._say(Text(f"{finished} of {self._total} trials are there already; resuming."))
        elif labels and self._live is None:
            self._say(Text(f"{self._total} trials to run."))
        elif finished:
            self._say(Text(f"All {finished} trials are there already; nothing to do."))

    def on_stage(self, trial_id: str, stage: str) -> None:
        """A trial entered a stage."""
        self._running[trial_id] = stage
        if self._live:
            self._live.refresh()

    def on_outcome(self, outcome: TrialOutcome) -> None:
        """A trial is committed, or was once more."""
        self._running.pop(outcome.trial_id, None)
        if outcome.again:
            if self._live is None and outcome.speedup is not None:
                self._say(self._line(outcome))
            return
        self._latest.append(outcome)
        self._done += 1
        failed = outcome.status == "failed"
        self._failed += failed
        self._bar.update(
            self._task,
            completed=self._done,
            failed=f"{self._failed} failed" if self._failed else "",
        )
        if self._live is None or failed:
            self._say(self._line(outcome))

    def _line(self, outcome: TrialOutcome) -> Text:
        width = len(str(self._total))
        line = Text(f"[{self._done:>{width}}/{self._total}] {self._label(outcome.trial_id)}")
        if outcome.status == "failed":
            return line.append(FAILED + self._reason(outcome), style="red")
        line.append("  ")
        if outcome.earlier and outcome.speedup is None:
            return line.append("is stored")
        line.append(ratio_with_interval(outcome.speedup, outcome.speedup_low, outcome.speedup_high))
        if outcome.error_stage == "profile":
            line.append(" (no profile)", style="yellow")
        return line

    def _reason(self, outcome: TrialOutcome) -> str:
        """Why a trial failed, as it follows `FAILED`; a reason that many share is told once."""
        if outcome.error_stage is None:  # its row was found, and not read
            return "and is stored; `frostline status` says why"
        reason = f"in {outcome.error_stage}: {outcome.error_message}"
        first = self._reasons.setdefault(reason, self._done)
        return reason if first == self._done else f"for the same reason as trial {first}"

    def _label(self, trial_id: str) -> str:
        return self._labels.get(trial_id, trial_id)

    def _picture(self) -> RenderableType:
        shown = list(self._running.items())[:MOST_SHOWN]
        lines: list[RenderableType] = [
            Text(f"  {stage:<8} {self._label(trial_id)}", overflow="ellipsis", no_wrap=True)
            for trial_id, stage in shown
        ]
        if not self._planned:
            lines.append(Text("  starting Ray, and building each model once to know its layers"))
        more = len(self._running) - len(shown)
        if more > 0:
            lines.append(Text(f"  and {more} more"))
        return Group(self._bar, *lines, *([self._results()] if self._latest else []))

    def _results(self) -> FittedTable:
        """The trials that ended last."""
        rows = [
            (
                self._label(each.trial_id),
                ratio(each.speedup),
                interval(each.speedup_low, each.speedup_high),
                "failed" if each.status == "failed" else "",
            )
            for each in self._latest
        ]
        return FittedTable(("latest results", "speedup", "95% interval", ""), rows, goes=(2, 3))

    def _say(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)
