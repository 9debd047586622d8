"""Speedup against the frozen fraction, and against the first trainable layer.

Each configuration is a point with its 95% interval, over the noise floor as a band: a point inside
the band is no measurable difference. The line above is the ceiling, 1 + (B + U) / F.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from frostline.reporting.figures.figure import (
    BAND,
    HEIGHT,
    INK,
    WIDTH,
    Figure,
    Rows,
    by_family,
    families_in,
    finished,
    frozen_share_axis,
    zoomable,
)
from frostline.reporting.palette import Family

_CROWD = 300  # points; more of them are drawn smaller
_SPREAD = 0.6  # width, in layers, over which points with the same first trainable layer stand


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPoint:
    """A measured configuration as the figures show it.

    Attributes:
        trial_id: of the trial.
        policy: as shown.
        family: kind of policy.
        fraction: frozen / trainable parameters, 0 to 1.
        depth: index of the first layer that trains.
        first: that layer's name; empty where it is not known.
        speedup, low, high: median of the paired ratios and its 95% interval.
        step_ns: step time.
        verdict: against the noise floor.
        memory_bytes, energy_joules: per step; None where not measured.
    """

    trial_id: str
    policy: str
    family: Family
    fraction: float
    depth: int
    first: str
    speedup: float
    low: float
    high: float
    step_ns: int | None
    verdict: str
    memory_bytes: int | None
    energy_joules: float | None


def trial_rows(trials: Sequence[TrialPoint]) -> Rows:
    """The rows that the figures call `trials`: percentages, milliseconds, megabytes."""
    side_by_side: dict[int, int] = defaultdict(int)
    for trial in trials:
        side_by_side[trial.depth] += 1
    placed: dict[int, int] = defaultdict(int)
    rows = []
    for trial in trials:
        placed[trial.depth] += 1
        number, of = placed[trial.depth], side_by_side[trial.depth]
        rows.append(
            {
                "id": trial.trial_id,
                "policy": trial.policy,
                "family": trial.family.name,
                "fraction": round(100 * trial.fraction, 4),
                "depth": trial.depth,
                "place": round(trial.depth + _SPREAD * ((number - 0.5) / of - 0.5), 3),
                "first": f"{trial.depth}: {trial.first}" if trial.first else str(trial.depth),
                "speedup": round(trial.speedup, 4),
                "low": round(trial.low, 4),
                "high": round(trial.high, 4),
                "interval": f"[{trial.low:.2f}, {trial.high:.2f}]",
                "ms": None if trial.step_ns is None else round(trial.step_ns / 1e6, 4),
                "verdict": trial.verdict,
                "mb": None if trial.memory_bytes is None else round(trial.memory_bytes / 1e6, 2),
                "joules": trial.energy_joules,
            }
        )
    return rows


def speedup_by_fraction(rows: Rows, *, noise_floor: float | None, ceiling: float | None) -> Figure:
    """Speedup against the frozen share of the parameters."""
    return Figure(
        kind="speedup-by-frozen-share",
        title="Speedup against the frozen share of the parameters",
        caption=_CAPTION + _ceiling_words(ceiling),
        spec=_spec(rows, frozen_share_axis(), noise_floor, ceiling),
        data={"trials": rows},
        zoom=True,
    )


def speedup_by_depth(
    rows: Rows, *, layers: int, noise_floor: float | None, ceiling: float | None
) -> Figure:
    """Speedup against the first trainable layer; `layers` is how many the model has."""
    margin = max(_SPREAD, 0.02 * layers)  # no point at the edge is cut
    x = alt.X(
        "place:Q",
        title="First layer that trains (0 = at the input)",
        scale=alt.Scale(domain=[-margin, max(1, layers - 1) + margin], nice=False),
        axis=alt.Axis(format="d", tickMinStep=1, tickCount=min(layers, 20), grid=False),
    )
    return Figure(
        kind="speedup-by-first-trainable-layer",
        title="Speedup against the first layer that trains",
        caption="The gradient is computed down to this layer and no further. Configurations with "
        "the same first layer stand side by side.",
        spec=_spec(rows, x, noise_floor, ceiling),
        data={"trials": rows},
        zoom=True,
    )


_CAPTION = (
    "Each point is a configuration; bars are 95% intervals, grey is the noise floor, within which "
    "differences are noise."
)


def _ceiling_words(ceiling: float | None) -> str:
    if ceiling is None:
        return ""
    return (
        f" The dashed line is the ceiling 1 + (B + U) / F = {ceiling:.2f}x: a step without "
        "gradients (B) and update (U) that keeps the baseline's forward pass (F). A configuration "
        "whose forward pass gets cheaper as well (frozen normalisation, no activations kept) may "
        "lie above it."
    )


def _spec(rows: Rows, x: alt.X, noise_floor: float | None, ceiling: float | None) -> dict[str, Any]:
    colour, shape = by_family(families_in(rows))
    data = alt.Chart(alt.NamedData("trials"))
    hover = alt.selection_point(
        name="hover", on="pointerover", clear="pointerout", empty=False, fields=["id"]
    )
    y = alt.Y("speedup:Q", title="Speedup (baseline step / its step)", scale=_scale(rows, ceiling))
    layers: list[Any] = [*_reference(noise_floor), *_ceiling(ceiling)]
    layers.append(data.mark_rule(strokeWidth=1.2, opacity=0.7, clip=True).encode(
        x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour,
    ))  # fmt: skip
    layers.append(data.mark_point(filled=True, opacity=0.9, clip=True, cursor="pointer").encode(
        x=x, y=y, color=colour, shape=shape, tooltip=_TOOLTIP,
        size=alt.condition(hover, alt.value(170), alt.value(60 if len(rows) < _CROWD else 24)),
    ).add_params(hover, zoomable("zoom")))  # fmt: skip
    return finished(alt.layer(*layers).properties(width=WIDTH, height=HEIGHT))


_TOOLTIP = [
    alt.Tooltip("policy:N", title="Policy"),
    alt.Tooltip("speedup:Q", title="Speedup", format=".3f"),
    alt.Tooltip("interval:N", title="95% interval"),
    alt.Tooltip("verdict:N", title="Verdict"),
    alt.Tooltip("ms:Q", title="Step (ms)", format=".3~f"),
    alt.Tooltip("fraction:Q", title="Frozen (%)", format=".3~f"),
    alt.Tooltip("first:N", title="Trains from layer"),
    alt.Tooltip("id:N", title="Trial"),
]


def _reference(noise_floor: float | None) -> list[Any]:
    """The noise floor as a band around 1, and the line where nothing is gained."""
    line = (
        alt.Chart(alt.Data(values=[{"y": 1.0}]))
        .mark_rule(color=INK, strokeWidth=1, opacity=0.6)
        .encode(y="y:Q")
    )
    if noise_floor is None:
        return [line]
    band = (
        alt.Chart(alt.Data(values=[{"low": 1 - noise_floor, "high": 1 + noise_floor}]))
        .mark_rect(color=BAND, clip=True)
        .encode(y=alt.Y("low:Q"), y2="high:Q")
    )
    return [band, line]


def _ceiling(ceiling: float | None) -> list[Any]:
    if ceiling is None:
        return []
    data = alt.Chart(alt.Data(values=[{"y": ceiling, "text": f"ceiling {ceiling:.2f}x"}]))
    line = data.mark_rule(color=INK, strokeDash=[6, 4], clip=True).encode(y="y:Q")
    words = data.mark_text(align="left", dy=-10, fontSize=12, color=INK, clip=True).encode(
        x=alt.value(4), y="y:Q", text="text:N"
    )
    return [line, words]


def _scale(rows: Rows, ceiling: float | None) -> alt.Scale:
    low = min((row["low"] for row in rows), default=1.0)
    high = max((row["high"] for row in rows), default=1.0)
    top = max(1.1, high, 1.03 * (ceiling or 0.0))
    return alt.Scale(domain=[min(0.9, low), top], nice=True, zero=False)
