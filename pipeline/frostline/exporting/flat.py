"""A sweep as three flat tables: `trials`, `layers` and `predictions`.

In: a sweep. Out: Arrow tables, each complete by itself: rows of layers and predictions repeat what
is needed of their trial, so that no join is needed. The noise floor is the final one, over all
controls, and `verdict` says what a speedup is worth against it.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from frostline.analyse import noise_floors, verdict
from frostline.store.flat_files import field_of, table_of
from frostline.store.sweep import Sweep

OF_TRIAL = (
    "study", "model", "variant", "policy", "batch_size", "optimizer", "precision", "jit_compile",
    "strategy", "is_control", "replicate", "frozen_fraction", "device_kind",
)  # fmt: skip
"""What the rows of other tables repeat of their trial."""

_VERDICT = field_of(
    "verdict",
    "faster, slower, or no measurable difference, against the noise floor; null without a speedup.",
)


def flat_tables(sweep: Sweep) -> Mapping[str, pa.Table]:
    """The tables by name; rows of trials in the order of `trial_id`.

    Raises:
        StorageError: a table cannot be read.
    """
    trials = sweep.trials().sort_by("trial_id")
    return {
        "trials": _trials(sweep, trials),
        "layers": _beside(sweep, "layers", trials),
        "predictions": _beside(sweep, "predictions", trials),
    }


def _trials(sweep: Sweep, stored: pa.Table) -> pa.Table:
    rows = sweep.trial_rows()
    floors = noise_floors(rows)
    final = [floors[row.trial_id] for row in rows]
    columns = {("trials", name): stored[name] for name in stored.column_names}
    columns["trials", "noise_floor"] = pa.chunked_array([pa.array(final, pa.float64())])
    verdicts = [verdict(row, floor) for row, floor in zip(rows, final, strict=True)]
    return table_of(columns).append_column(_VERDICT, pa.array(verdicts, pa.string()))


def _beside(sweep: Sweep, table: str, trials: pa.Table) -> pa.Table:
    """A table whose rows begin with what they repeat of their trial."""
    stored = sweep.table(table)
    place = pc.index_in(stored["trial_id"], value_set=trials["trial_id"].combine_chunks())
    columns = {(table, "trial_id"): stored["trial_id"]}
    columns |= {("trials", name): trials[name].take(place) for name in OF_TRIAL}
    columns |= {(table, name): stored[name] for name in stored.column_names}
    return table_of(columns)
