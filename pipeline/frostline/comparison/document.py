"""A comparison for JSON. Pure.

Keys are the fields of `frostline.comparison.comparison`, and what is derived from them: the counts
of the verdicts and the gate. Times are nanoseconds, ratios dimensionless.
"""

from __future__ import annotations

from dataclasses import asdict

from frostline.comparison.comparison import ComparedGroup, Comparison
from frostline.comparison.sentences import gate_words, headline


def document(comparison: Comparison) -> dict[str, object]:
    """The comparison for JSON, as one object."""
    gate = {"exit_code": comparison.exit_code, "words": gate_words(comparison)}
    return {
        "a": {**asdict(comparison.a), "versions": dict(comparison.a.versions)},
        "b": {**asdict(comparison.b), "versions": dict(comparison.b.versions)},
        "margin": comparison.margin,
        "words": headline(comparison),
        "verdicts": comparison.counts(),
        "gate": gate if comparison.gated else None,
        "groups": [_group(group) for group in comparison.groups],
        "only_a": list(comparison.only_a),
        "only_b": list(comparison.only_b),
        "notices": list(comparison.notices),
    }


def _group(group: ComparedGroup) -> dict[str, object]:
    return {"title": group.title, **asdict(group)}
