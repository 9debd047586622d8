"""Writes the event file of a whole sweep: which columns TensorBoard's table of trials has.

In: OUT, and rows of the planned trials. Out: one file in `OUT/tensorboard`, replaced by each run.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from frostline.store.outdir import OutDir
from frostline.store.read import committed, read_all
from frostline.tensorboard.events import EXPERIMENT_PATH, experiment_events

_COLUMNS = (
    "model", "policy", "is_control", "anchor", "frozen_fraction", "earliest_trainable_layer",
    "batch_size", "optimizer", "precision", "jit_compile", "strategy",
)  # fmt: skip


def write_experiment(out: OutDir, study: str, planned: Iterable[Mapping[str, object]]) -> None:
    """Write it.

    Trials that an earlier run committed count as well: the study may have changed since.

    Args:
        out: the sweep.
        study: the study's name.
        planned: rows of the planned trials, finished or not, as far as they are known.

    Raises:
        StorageError: OUT cannot be read or written.
    """
    there = read_all(
        out.files, "trials", committed(out.files, "trials", out.commits()), _COLUMNS
    ).to_pylist()
    rows = [*planned, *there]
    out.put_file(experiment_events(study, rows, created_s=time.time()), EXPERIMENT_PATH)
