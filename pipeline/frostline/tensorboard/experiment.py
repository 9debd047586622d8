"""Writes the event file of a whole sweep: which columns TensorBoard's table of trials has.

In: OUT, and the trials that are planned. Out: one file in `OUT/tensorboard`, replaced by each run.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from frostline.results.rows import planned_columns
from frostline.store.outdir import OutDir
from frostline.store.read import committed, read_all
from frostline.tensorboard.events import EXPERIMENT_PATH, experiment_events
from frostline.trial import Trial

_COLUMNS = (
    "model", "policy", "is_control", "anchor", "frozen_fraction", "earliest_trainable_layer",
    "batch_size", "optimizer", "precision", "jit_compile", "strategy",
)  # fmt: skip


def write_experiment(out: OutDir, study: str, planned: Iterable[Trial]) -> None:
    """Write it.

    Trials that an earlier run committed count as well: the study may have changed since.

    Args:
        out: the sweep.
        study: the study's name.
        planned: trials of the plan, finished or not.

    Raises:
        StorageError: OUT cannot be read or written.
    """
    there = read_all(
        out.files, "trials", committed(out.files, "trials", out.commits()), _COLUMNS
    ).to_pylist()
    rows = [*map(planned_columns, planned), *there]
    out.put_file(experiment_events(study, rows, created_s=time.time()), EXPERIMENT_PATH)
