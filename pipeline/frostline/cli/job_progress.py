"""The progress of a submitted sweep, from the lines that its job prints.

In: lines of `frostline sweep`. Out: on a terminal a bar, and above it the lines that tell of
something else than a good trial; elsewhere the lines as they are.
"""

from __future__ import annotations

import re
from typing import Self

from rich.console import Console
from rich.progress import TextColumn
from rich.text import Text

from frostline.cli.progress import FAILED, trials_bar

_TRIAL = re.compile(r"\[ *(?P<done>\d+)/(?P<total>\d+)\] (?P<rest>.*)")


class JobProgress:
    """Shows a job's lines; a context manager."""

    def __init__(self, console: Console) -> None:
        """Show on this console, with a bar if it is a terminal."""
        self._console = console
        last = TextColumn("{task.fields[last]}", markup=False)
        self._bar = trials_bar(console, end=[last], transient=True) if console.is_terminal else None
        self._task = self._bar.add_task("trials", total=None, last="") if self._bar else None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def take(self, line: str) -> None:
        """Show one line of the job."""
        trial = _TRIAL.match(line)
        if self._bar is not None and self._task is not None and trial is not None:
            self._bar.update(
                self._task,
                completed=int(trial["done"]),
                total=int(trial["total"]),
                last=trial["rest"][:40],
            )
            if FAILED not in line:
                return
        self._console.print(Text(line), soft_wrap=True)
