"""Commits a trial: its files, then its rows; the row of `trials`, written last, is the commit.

In: everything that is known after an attempt, and the files that it left on this machine's disk.
Out: the trace, the log and TensorBoard's events below OUT, and the rows. If it is interrupted
before the commit, the next attempt overwrites what was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from frostline.results.rows import TrialRun, tables_of
from frostline.store.files import Source
from frostline.store.outdir import TrialTables
from frostline.tensorboard.events import events_path, trial_events


class Store(Protocol):
    """The part of `frostline.store.outdir.OutDir` that a lease uses."""

    def publish(self, tables: TrialTables, files: Mapping[str, Source]) -> None:
        """Commit a trial: its other files, by name below OUT, then its rows."""


def log_path(trial_id: str) -> str:
    """Where a trial's log lies below OUT."""
    return f"logs/{trial_id}.log"


def commit(store: Store, run: TrialRun, *, log: Path | None = None) -> None:
    """Publish a trial: its trace at `run.trace_path`, and its log, which may be missing.

    Raises:
        StorageError: OUT cannot be written.
        ConservationError: the costs do not add up to the trace's total.
    """
    tables = tables_of(run)
    trial_id = run.trial.trial_id
    files: dict[str, Source] = {}
    trace_file = run.measured.trace_file if run.measured is not None else None
    if run.trace_path is not None and trace_file is not None:
        files[run.trace_path] = Path(trace_file)
    if log is not None and log.exists():
        files[log_path(trial_id)] = log
    files[events_path(trial_id)] = trial_events(
        tables.trials[0].values(), [sample.values() for sample in tables.steps]
    )
    store.publish(tables, files)
