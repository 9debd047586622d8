"""Names of sections, for addresses within the page and for file names. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from frostline.analyse import GroupSummary

_LONGEST = 80


def anchor_names(groups: Sequence[GroupSummary]) -> list[str]:
    """One name per group, of letters, digits and dashes; the model's name where that is unique."""
    models = [group.key.model for group in groups]
    taken: list[str] = []
    for group in groups:
        alone = models.count(group.key.model) == 1
        taken.append(_anchor(group.key.model if alone else group.title, taken))
    return taken


def _anchor(label: str, taken: Sequence[str]) -> str:
    base = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:_LONGEST] or "group"
    names = (base if count == 1 else f"{base}-{count}" for count in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
