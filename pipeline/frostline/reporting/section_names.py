"""Names of sections, for addresses within the page and for file names. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LONGEST = 80


def anchor_names(groups: Sequence[tuple[str, str]]) -> list[str]:
    """One name per group, of letters, digits and dashes; the model's name where that is unique.

    Groups are given by model and title.
    """
    models = [model for model, _ in groups]
    taken: list[str] = []
    for model, title in groups:
        taken.append(_anchor(model if models.count(model) == 1 else title, taken))
    return taken


def _anchor(label: str, taken: Sequence[str]) -> str:
    base = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:_LONGEST] or "group"
    names = (base if count == 1 else f"{base}-{count}" for count in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
