"""Writes the event file of a whole sweep, with the columns of TensorBoard's table of trials.

In: OUT, and rows of the planned trials. Out: one file in `OUT/tensorboard`, replaced by each run.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from frostline.store.outdir import OutDir
from frostline.store.read import committed, read_all
from frostline.store.trial_row import PlannedColumns
from frostline.tensorboard.events import EXPERIMENT_PATH, experiment_events
from frostline.tensorboard.hparams import COLUMNS


def write_experiment(out: OutDir, study: str, planned: Iterable[PlannedColumns]) -> None:
    """Write the event file of the sweep.

    It includes trials that an earlier run committed, since the study may have changed, and the
    planned ones, finished or not.

    Raises:
        StorageError: OUT cannot be read or written.
    """
    there = read_all(
        out.files, "trials", committed(out.files, "trials", out.commits()), COLUMNS
    ).to_pylist()
    rows = [*(row.values() for row in planned), *there]
    out.put_file(experiment_events(study, rows, created_s=time.time()), EXPERIMENT_PATH)
