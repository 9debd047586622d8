"""Speedup against the frozen fraction, and against the first trainable layer.

Each configuration is a point with its 95% interval, over the noise floor as a band: a point inside
the band is no measurable difference. The line above is the most that any choice of layers is
predicted to reach.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import altair as alt

from frostline.analyse import TrialSummary
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
from frostline.reporting.palette import family_of_row
from frostline.store.trial_row import TrialRow
from frostline.words import in_figure, layer_number, policy_words

_CROWD = 300  # points; more of them are drawn smaller
_SPREAD = 0.6  # width, in layers, over which points with the same first trainable layer stand


def trial_rows(
    trials: Iterable[TrialSummary],
    order: Sequence[str],
    predicted_peaks: Mapping[str, int],
    step_ns: Callable[[TrialRow], float | None],
    labelled: Collection[str] = (),
) -> Rows:
    """The rows that the figures call `trials`: percentages, milliseconds, megabytes.

    Trials without a speedup and its interval are left out. `order` has the names of all layers in
    order of first use; empty where it is not known. `predicted_peaks` are in bytes, by `trial_id`.
    `step_ns` is what a trial's step takes, as the table of trials says it. `labelled` has the ids
    of trials whose points are labelled.
    """
    found: list[dict[str, Any]] = []
    for row, verdict in ((item.row, item.verdict) for item in trials):
        if row.speedup is None or row.speedup_low is None or row.speedup_high is None:
            continue
        depth = layer_number(row.earliest_trainable_layer or 0)
        memory_bytes = row.peak_memory_bytes
        predicted = predicted_peaks.get(row.trial_id)
        takes_ns = step_ns(row)
        found.append(
            {
                "id": row.trial_id,
                "policy": in_figure(policy_words(row)),
                "family": family_of_row(row).name,
                "label": in_figure(policy_words(row)) if row.trial_id in labelled else "",
                "fraction": round(100 * (row.frozen_fraction or 0.0), 4),
                "depth": depth,
                "first": f"{depth}: {order[depth - 1]}" if depth <= len(order) else str(depth),
                "speedup": round(row.speedup, 4),
                "low": round(row.speedup_low, 4),
                "high": round(row.speedup_high, 4),
                "interval": f"[{row.speedup_low:.2f}, {row.speedup_high:.2f}]",
                "ms": None if takes_ns is None else round(takes_ns / 1e6, 4),
                "verdict": "control" if row.is_control else verdict or "",
                "mb": None if memory_bytes is None else round(memory_bytes / 1e6, 2),
                "predicted_mb": None if predicted is None else round(predicted / 1e6, 2),
                "joules": row.energy_joules_per_step,
            }
        )
    side_by_side = Counter(each["depth"] for each in found)
    placed: Counter[int] = Counter()
    for each in found:
        depth = each["depth"]
        placed[depth] += 1
        aside = (placed[depth] - 0.5) / side_by_side[depth] - 0.5
        each["place"] = round(depth + _SPREAD * aside, 3)
    return found


def speedup_by_fraction(rows: Rows, *, noise_floor: float | None, most: float | None) -> Figure:
    """Speedup against the frozen share of the parameters."""
    return Figure(
        kind="speedup-by-frozen-share",
        title="Speedup against the frozen share of the parameters",
        caption=_CAPTION + _most_words(most),
        spec=_spec(rows, frozen_share_axis(), noise_floor, most),
        data={"trials": rows},
        zoom=True,
    )


def speedup_by_depth(
    rows: Rows, *, layers: int, noise_floor: float | None, most: float | None
) -> Figure:
    """Speedup against the first trainable layer; `layers` is how many the model has."""
    margin = max(_SPREAD, 0.02 * layers)  # no point at the edge is cut
    x = alt.X(
        "place:Q",
        title="First layer that trains (1 = at the input)",
        scale=alt.Scale(domain=[1 - margin, max(2, layers) + margin], nice=False),
        axis=alt.Axis(format="d", tickMinStep=1, tickCount=min(layers, 20), grid=False),
    )
    return Figure(
        kind="speedup-by-first-trainable-layer",
        title="Speedup against the first layer that trains",
        caption="The gradient is computed down to this layer and no further. Configurations with "
        "the same first layer stand side by side.",
        spec=_spec(rows, x, noise_floor, most),
        data={"trials": rows},
        zoom=True,
    )


_CAPTION = (
    "Each point is a configuration; bars are 95% intervals, grey is the noise floor, within which "
    "differences are noise."
)


def _most_words(most: float | None) -> str:
    if most is None:
        return ""
    return (
        f" The dashed line, {most:.2f}x, is the most that any choice of layers is predicted to "
        "reach, from the anchors: a point above it is off by the error of predictions."
    )


def _spec(rows: Rows, x: alt.X, noise_floor: float | None, most: float | None) -> dict[str, Any]:
    colour, shape = by_family(families_in(rows))
    data = alt.Chart(alt.NamedData("trials"))
    hover = alt.selection_point(
        name="hover", on="pointerover", clear="pointerout", empty=False, fields=["id"]
    )
    y = alt.Y("speedup:Q", title="Speedup (baseline step / its step)", scale=_scale(rows, most))
    layers: list[Any] = [*_reference(noise_floor), *_most(most)]
    layers.append(data.mark_rule(strokeWidth=1.2, opacity=0.7, clip=True).encode(
        x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour,
    ))  # fmt: skip
    layers.append(data.mark_point(filled=True, opacity=0.9, clip=True, cursor="pointer").encode(
        x=x, y=y, color=colour, shape=shape, tooltip=_TOOLTIP,
        size=alt.condition(hover, alt.value(170), alt.value(60 if len(rows) < _CROWD else 24)),
    ).add_params(hover, zoomable()))  # fmt: skip
    layers.append(data.mark_text(
        dx=alt.ExprRef("datum.fraction > 80 ? -9 : 9"), dy=-9, fontSize=11, color=INK,
        align=alt.ExprRef("datum.fraction > 80 ? 'right' : 'left'"),
    ).encode(
        x=x, y=y, text="label:N",
    ))  # fmt: skip
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


def _most(most: float | None) -> list[Any]:
    if most is None:
        return []
    data = alt.Chart(alt.Data(values=[{"y": most, "text": f"most predicted: {most:.2f}x"}]))
    line = data.mark_rule(color=INK, strokeDash=[6, 4], clip=True).encode(y="y:Q")
    words = data.mark_text(align="left", dy=-10, fontSize=12, color=INK, clip=True).encode(
        x=alt.value(4), y="y:Q", text="text:N"
    )
    return [line, words]


def _scale(rows: Rows, most: float | None) -> alt.Scale:
    low = min((row["low"] for row in rows), default=1.0)
    high = max((row["high"] for row in rows), default=1.0)
    top = max(1.1, high, 1.03 * (most or 0.0))
    return alt.Scale(domain=[min(0.9, low), top], nice=True, zero=False)
