"""Runs to Weights & Biases, offline: files that `wandb sync` sends when you want it.

In: runs and a folder. Out: how many runs were written, each as `wandb/offline-run-*` below it;
`exported.txt` lists them, so that none is written twice. The library is imported on use and told to
contact nobody. Refuses (`UsageError`) to go on without it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from frostline.digest import digest_of
from frostline.errors import StorageError, UsageError
from frostline.exporting.tracking import TrackedRun

LIST = "exported.txt"
_ID = 16


def to_wandb(runs: Sequence[TrackedRun], *, study: str, shown: str, place: Path) -> int:
    """Write runs that are not there yet, as offline runs.

    Args:
        runs: of one sweep.
        study: the project's name.
        shown: the sweep's OUT, as a value of the configuration.
        place: a folder; made where it is missing.

    Returns:
        How many were written.

    Raises:
        UsageError: wandb is not installed.
        StorageError: it cannot write a run; with its message.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    with warnings.catch_warnings():  # its own dependencies warn each other
        warnings.simplefilter("ignore")
        try:
            import wandb
        except ImportError as error:
            raise UsageError("wandb is not installed: `pip install wandb`") from error
        try:
            place.mkdir(parents=True, exist_ok=True)
            done = place / LIST
            there = done.read_text(encoding="utf-8").splitlines() if done.exists() else []
            new = [run for run in runs if run.key not in there]
            for run in new:
                _write(wandb, run, study=study, shown=shown, place=place)
                with done.open("a", encoding="utf-8") as file:
                    file.write(f"{run.key}\n")
        except (OSError, wandb.Error) as error:
            said = str(error).strip().splitlines()[0]
            raise StorageError(f"wandb cannot write to {place}: {said}") from error
    return len(new)


def _write(wandb: Any, run: TrackedRun, *, study: str, shown: str, place: Path) -> None:
    written = wandb.init(
        project=study,
        id=digest_of(run.key)[:_ID],
        name=run.name,
        group=run.group,
        config={**run.parameters, **run.tags, "out": shown},
        dir=str(place),
        mode="offline",
        settings=wandb.Settings(
            silent=True, console="off", disable_git=True, save_code=False, x_disable_stats=True
        ),
    )
    written.summary.update(dict(run.metrics))
    written.finish(exit_code=0 if run.ok else 1)
