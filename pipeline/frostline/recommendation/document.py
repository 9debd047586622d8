"""Recommendations as JSON. Pure.

A list with one object per model and setting. Shares are step times as fractions of the baseline's.
`low` and `high` of speedups come from the sweep's held-out errors; they are null where too few
configurations were held out. `measured` is null unless the pick was verified, `measured_batch`
unless its largest batch was run. The bill's values are null unless a training run is described, by
options or by the study.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from frostline.billing.bill import bill_document
from frostline.recommendation.recommendation import Recommendation

if TYPE_CHECKING:  # verifying brings the scheduler along
    from frostline.recommendation.verify import Verified
    from frostline.recommendation.verify_batch import VerifiedBatch


Answers = Sequence[tuple[Recommendation, "Verified | None", "VerifiedBatch | None"]]


def document(answers: Answers) -> list[dict[str, Any]]:
    """The recommendations as one JSON list."""
    return [_object(*each) for each in answers]


def _object(
    found: Recommendation, verified: Verified | None, batch: VerifiedBatch | None
) -> dict[str, Any]:
    answer, interval = found.answer, found.share_interval
    return {
        "model": found.key.model,
        "variant": found.key.variant,
        "setting": asdict(found.key.setting),
        "device_kind": found.device_kind,
        "budget": found.pick.budget,
        "policy": answer.policy,
        "frozen_layers": list(found.pick.frozen_layers),
        "training_layers": list(found.training_layers),
        "importance": found.importance.measure,
        "importance_source": found.importance.words,
        "importance_by_layer": dict(found.importance.by_layer),
        "kept": found.pick.kept,
        "kept_at_most": found.pick.kept_at_most,
        "predicted_share": found.pick.share,
        "share_low": interval[0] if interval else None,
        "share_high": interval[1] if interval else None,
        "predicted_speedup": answer.predicted_speedup,
        "low": answer.low,
        "high": answer.high,
        "baseline_step_ns": answer.baseline_step_ns,
        "predicted_step_ns": answer.predicted_step_ns,
        "held_out": answer.held_out,
        **answer.bill_document(),
        "fastest": asdict(found.fastest),
        "frontier": [asdict(point) for point in found.frontier],
        "code": found.code,
        "memory_bytes": found.memory_bytes,
        "predicted_peak_bytes": None if found.peak is None else found.peak.total,
        "unknown_tensors": None if found.peak is None else found.peak.unknown,
        "largest_batch": found.largest_batch,
        "largest_batch_peak_bytes": found.largest_batch_peak,
        "measured": None if verified is None else _measured(verified),
        "measured_batch": None if batch is None else {**asdict(batch), "error": batch.error},
    }


def _measured(verified: Verified) -> dict[str, Any]:
    values = asdict(verified)
    del values["bill"]
    judged = {"error": verified.error, "outcome": verified.outcome}
    return {**values, **judged, **bill_document(verified.bill)}
