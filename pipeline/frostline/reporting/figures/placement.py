"""Speedup by place at an equal frozen fraction: first layers, last layers or scattered ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from frostline.analyse.placement import Level
from frostline.reporting.figures.figure import INK, WIDTH, Figure, by_family, finished
from frostline.reporting.palette import PLACE_FAMILIES
from frostline.words import in_figure, percent


def placement_figure(levels: Sequence[Level]) -> Figure:
    """One line per level (ascending by fraction), with a point for each place measured there."""
    labels = _labels(levels)
    rows: list[dict[str, Any]] = []
    for level, label in zip(levels, labels, strict=True):
        for place, row in level.trials.items():
            low, high = row.speedup_low, row.speedup_high
            rows.append(
                {
                    "level": label,
                    "family": PLACE_FAMILIES[place].name,
                    "policy": in_figure(row.policy),
                    "id": row.trial_id,
                    "fraction": round(100 * (row.frozen_fraction or 0.0), 3),
                    "speedup": row.speedup,
                    "low": row.speedup if low is None else low,
                    "high": row.speedup if high is None else high,
                }
            )
    there = {row["family"] for row in rows}
    families = [family for family in PLACE_FAMILIES.values() if family.name in there]
    data = alt.Chart(alt.NamedData("levels"))
    y = alt.Y(
        "level:N", title=None, sort=labels, axis=alt.Axis(grid=True, ticks=False, domain=False)
    )
    x = alt.X(
        "speedup:Q",
        title="Speedup (baseline step / its step)",
        scale=alt.Scale(zero=False, nice=True, padding=12),
        axis=alt.Axis(tickCount=10),
    )
    colour, shape = by_family(families, "Frozen layers")
    line = data.mark_rule(color=INK, opacity=0.35).encode(
        x=alt.X("least:Q"), x2="most:Q", y=y
    ).transform_aggregate(least="min(speedup)", most="max(speedup)", groupby=["level"])  # fmt: skip
    interval = data.mark_rule(strokeWidth=1.4, opacity=0.8).encode(
        x=alt.X("low:Q"), x2="high:Q", y=y, color=colour
    )
    points = data.mark_point(filled=True, size=90, opacity=0.95).encode(
        x=x, y=y, color=colour, shape=shape,
        tooltip=[
            alt.Tooltip("policy:N", title="Policy"),
            alt.Tooltip("family:N", title="Frozen layers"),
            alt.Tooltip("speedup:Q", title="Speedup", format=".3f"),
            alt.Tooltip("fraction:Q", title="Frozen (%)", format=".3~f"),
        ],
    )  # fmt: skip
    return Figure(
        kind="speedup-by-place",
        title="Place at an equal frozen share",
        caption="Each line compares configurations that freeze about the same share of the "
        "parameters: the first layers (prefix), the last ones (suffix), or others (scattered).",
        spec=finished(
            alt.layer(line, interval, points).properties(
                width=WIDTH, height=30 * max(1, len(levels))
            )
        ),
        data={"levels": rows},
    )


def _labels(levels: Sequence[Level]) -> list[str]:
    """`20% frozen`; levels that round to the same are told apart by a number."""
    shares = [percent(level.fraction) for level in levels]
    labels = []
    for number, text in enumerate(shares):
        before = shares[:number].count(text)
        labels.append(f"{text} frozen ({before + 1})" if before else f"{text} frozen")
    return labels
