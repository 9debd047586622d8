"""An explanation as JSON. Pure.

Keys are the fields of `frostline.explanation.explanation`; parts also have `saved_ns`. Times are
integer nanoseconds per step, null where they are not known.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from frostline.explanation.explanation import Explanation


def to_json(explanation: Explanation) -> str:
    """The explanation as one JSON object."""
    found = asdict(explanation)
    found["parts"] = [{**asdict(part), "saved_ns": part.saved_ns} for part in explanation.parts]
    return json.dumps(found, indent=1, ensure_ascii=False)
