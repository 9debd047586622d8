"""Each trial of a sweep as a run of a tracking store. Pure.

In: rows of `trials` and `predictions`. Out: `TrackedRun`: parameters (what was asked), metrics
(every figure that was measured or predicted, named as its column) and tags (the rest). What was not
measured is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from frostline.analyse import GroupKey, noise_floors, verdict
from frostline.store.schema import PredictionRow
from frostline.store.trial_row import TrialRow
from frostline.words import policy_words

PARAMETERS = (
    "model", "variant", "policy", "batch_size", "optimizer", "precision", "jit_compile", "strategy",
    "is_control", "replicate", "frozen_params", "total_params", "frozen_layers",
    "earliest_trainable_layer", "anchor",
)  # fmt: skip
_LONGEST = 500
"""The least that some store allows a parameter."""

_NUMBERS = ("int64", "float64")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """A trial as a run.

    Attributes:
        trial_id: of the trial.
        name: its policy as it is shown (`control 2`).
        group: model and setting in words.
        started_s, ended_s: seconds since 1970, UTC.
        ok: whether the trial was measured.
        parameters, metrics, tags: by name.
    """

    trial_id: str
    name: str
    group: str
    started_s: float
    ended_s: float
    ok: bool
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    @property
    def key(self) -> str:
        """Tells this measurement from all others, a later one of the same trial included."""
        return f"{self.trial_id}@{self.started_s:.6f}"


def tracked_runs(
    rows: Sequence[TrialRow], predictions: Iterable[PredictionRow]
) -> tuple[TrackedRun, ...]:
    """A run for each trial, failed ones included."""
    floors = noise_floors(rows)
    predicted: dict[str, dict[str, float]] = defaultdict(dict)
    for each in predictions:
        if each.predicted_speedup is not None:
            name = f"predicted_speedup_{each.predictor}"
            predicted[each.trial_id][name] = each.predicted_speedup
    return tuple(_run(row, floors[row.trial_id], predicted.get(row.trial_id, {})) for row in rows)


def metric_facts() -> Iterator[tuple[str, str, str]]:
    """Name, unit and meaning of every metric of a trial's row."""
    for column in TrialRow.columns():
        if column.type in _NUMBERS and column.name not in PARAMETERS:
            yield column.name, column.unit, column.doc


def _run(row: TrialRow, floor: float | None, predicted: Mapping[str, float]) -> TrackedRun:
    values = row.values() | {"noise_floor": floor}
    started_s = row.started_at.timestamp()
    metrics = {
        name: float(values[name]) for name, _, _ in metric_facts() if values[name] is not None
    }
    return TrackedRun(
        trial_id=row.trial_id,
        name=policy_words(row),
        group=GroupKey.of(row).label,
        started_s=started_s,
        ended_s=started_s + row.duration_s,
        ok=row.status == "ok",
        parameters={
            name: _text(values[name]) for name in PARAMETERS if values[name] not in (None, "")
        },
        metrics={**metrics, **predicted},
        tags=_tags(row, floor),
    )


def _tags(row: TrialRow, floor: float | None) -> dict[str, str]:
    told = {
        "study": row.study,
        "trial_id": row.trial_id,
        "verdict": "control" if row.is_control else verdict(row, floor),
        "host": row.host,
        "device_kind": row.device_kind,
        "device_id": row.device_id,
        "xla": None if row.jit_resolved is None else str(row.jit_resolved).lower(),
        "frostline_version": row.frostline_version,
        "tensorflow_version": row.tensorflow_version,
        "keras_version": row.keras_version,
        "error": f"{row.error_type}: {row.error_message}" if row.error_type else None,
    }
    return {name: _text(value) for name, value in told.items() if value}


def _text(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
