"""An explanation as JSON. Pure.

Keys are the fields of `frostline.explanation.explanation`; parts also have `saved_ns`. Times are
integer nanoseconds per step, null where they are not known.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from frostline.explanation.explanation import Explanation
from frostline.explanation.memory import MemoryShare


def document(explanation: Explanation) -> dict[str, Any]:
    """The explanation as one JSON object."""
    found = asdict(explanation)
    found["memory"] = None if explanation.memory is None else _memory(explanation.memory)
    found["parts"] = [{**asdict(part), "saved_ns": part.saved_ns} for part in explanation.parts]
    return found


def _memory(memory: MemoryShare) -> dict[str, Any]:
    """Bytes by part, and the largest tensors."""
    return {
        "measured_bytes": memory.measured_bytes,
        "is_from_profile": memory.is_from_profile,
        "predicted_bytes": memory.trial.total,
        "baseline_predicted_bytes": memory.baseline.total,
        "is_calibrated": memory.is_calibrated,
        "unknown_tensors": memory.trial.unknown,
        "parts": [
            {"part": name, "baseline_bytes": before, "trial_bytes": after}
            for name, before, after in memory.parts()
        ],
        "tensors": [asdict(tensor) for tensor in memory.tensors],
        "text": memory.words(),
    }
