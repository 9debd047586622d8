"""Predicted against measured speedups, and how far each predictor is off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from frostline.analyse.prediction_error import PredictedTrial, PredictorError
from frostline.prediction import THREE_ANCHOR
from frostline.reporting.figures.figure import (
    BAND,
    GRID,
    INK,
    WIDTH,
    Figure,
    Rows,
    by_family,
    families_in,
    finished,
    zoomable,
)
from frostline.reporting.palette import GREY

_FAR = 10.0
PREDICTOR_LABELS = {
    THREE_ANCHOR: "cost model (anchors)",
    "frozen_fraction": "frozen fraction, 1/(1-f)",
    "params_2to1": "parameters 2:1",
    "flops_2to1": "FLOPs 2:1",
    "two_point": "line between two points",
    "elastic_trainer": "ElasticTrainer's chain",
}


def predicted_figure(
    predicted: Sequence[PredictedTrial],
    trials: Mapping[str, Mapping[str, Any]],
    noise_floor: float | None,
) -> Figure:
    """The cost model's prediction against the measurement, one point per configuration.

    Args:
        predicted: of one model and setting; only the cost model's are shown.
        trials: rows as `trial_rows` gives them, by `trial_id`.
        noise_floor: drawn as a band around the diagonal; None: no band.
    """
    rows = [
        {
            **_about(trials[each.trial_id]),
            "predicted": round(each.speedup.predicted, 4),
            "measured": round(each.speedup.measured, 4),
            "low": round(each.speedup.low, 4),
            "high": round(each.speedup.high, 4),
            "error": round(100 * each.speedup.error, 2),
            "anchor": each.is_anchor,
        }
        for each in predicted
        if each.predictor == THREE_ANCHOR and each.trial_id in trials
    ]
    held_out = [row for row in rows if not row["anchor"]]
    families = families_in(held_out)
    least = 0.95 * min((min(row["predicted"], row["low"]) for row in rows), default=1.0)
    most = 1.05 * max((max(row["predicted"], row["high"]) for row in rows), default=1.0)
    scale = alt.Scale(domain=[least, most], nice=False, zero=False)
    x = alt.X("predicted:Q", title="Predicted speedup", scale=scale)
    y = alt.Y("measured:Q", title="Measured speedup", scale=scale)
    data = alt.Chart(alt.NamedData("predicted"))
    apart = data.transform_filter("!datum.anchor")
    colour, shape = by_family(families)
    tooltip = [
        alt.Tooltip("policy:N", title="Policy"),
        alt.Tooltip("predicted:Q", title="Predicted", format=".3f"),
        alt.Tooltip("measured:Q", title="Measured", format=".3f"),
        alt.Tooltip("error:Q", title="Error (%)", format="+.1f"),
        alt.Tooltip("id:N", title="Trial"),
    ]
    layers: list[Any] = [
        *_diagonal(least, most, noise_floor),
        data.transform_filter("datum.anchor")
        .mark_point(filled=False, size=60, color=GREY, shape="cross", clip=True)
        .encode(x=x, y=y, tooltip=tooltip),
        apart.mark_rule(strokeWidth=1.2, opacity=0.7, clip=True).encode(
            x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour
        ),
        apart.mark_point(filled=True, size=60, opacity=0.9, clip=True, cursor="pointer")
        .encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip)
        .add_params(zoomable()),
    ]
    return Figure(
        kind="predicted-against-measured",
        title="Predicted against measured speedup",
        caption="Predictions of the cost model, made from the anchors alone. Coloured points were "
        "held out; hollow grey crosses are anchors and controls, which are no evidence. On the "
        "diagonal a prediction is right; grey is the noise floor around it.",
        spec=finished(alt.layer(*layers).properties(width=WIDTH, height=420)),
        data={"predicted": rows},
        zoom=True,
    )


def predictor_errors_figure(
    predicted: Sequence[PredictedTrial],
    errors: Sequence[PredictorError],
    trials: Mapping[str, Mapping[str, Any]],
    noise_floor: float | None,
) -> Figure:
    """Predicted / measured of each predictor, one stroke per held-out configuration."""
    labels = [predictor_label(each.predictor) for each in errors]
    rows = [
        {
            **_about(trials[each.trial_id]),
            "predictor": predictor_label(each.predictor),
            "ratio": round(_ratio(each), 4),
            "place": round(min(max(_ratio(each), 1 / _FAR), _FAR), 4),
            "error": round(100 * each.speedup.error, 2),
        }
        for each in predicted
        if not each.is_anchor and each.trial_id in trials and each.speedup.predicted > 0
    ]
    data = alt.Chart(alt.NamedData("errors"))
    y = alt.Y(
        "predictor:N",
        title=None,
        sort=labels,
        scale=alt.Scale(domain=labels),
        axis=alt.Axis(ticks=False, domain=False),
    )
    ticks = _ticks([row["place"] for row in rows])
    beyond = sum(row["place"] != row["ratio"] for row in rows)
    x = alt.X(
        "place:Q",
        title="Predicted / measured speedup (1 = right)",
        scale=alt.Scale(type="log", domain=[ticks[0], ticks[-1]], nice=False),
        axis=alt.Axis(values=ticks, format="~g", gridColor=GRID),
    )
    layers: list[Any] = []
    if noise_floor is not None and noise_floor < 1:
        edges = {"low": max(1 - noise_floor, ticks[0]), "high": min(1 + noise_floor, ticks[-1])}
        layers.append(
            alt.Chart(alt.Data(values=[edges]))
            .mark_rect(color=BAND)
            .encode(x=alt.X("low:Q"), x2="high:Q")
        )
    layers += [
        alt.Chart(alt.Data(values=[{"x": 1}])).mark_rule(color=INK, opacity=0.6).encode(x="x:Q"),
        data.mark_tick(thickness=2, height={"band": 0.55}, opacity=0.65, color="#0072B2").encode(
            x=x, y=y,
            tooltip=[
                alt.Tooltip("predictor:N", title="Predictor"),
                alt.Tooltip("policy:N", title="Policy"),
                alt.Tooltip("ratio:Q", title="Predicted / measured", format=".3f"),
                alt.Tooltip("error:Q", title="Error (%)", format="+.1f"),
            ],
        ),
        data.mark_point(shape="diamond", filled=True, color=INK, size=70).encode(
            x=alt.X("median(place):Q"), y=y
        ),
    ]  # fmt: skip
    return Figure(
        kind="error-by-predictor",
        title="Held-out error of each predictor",
        caption="Each stroke is a held-out configuration, the diamond is the median, grey is the "
        "noise floor. Left of 1 a predictor promises too little, right of it too much. The scale "
        "is logarithmic; the predictor with the smallest mean error is on top."
        + (
            f" Strokes further off than {_FAR:g} times are drawn at the edge ({beyond} of them)."
            if beyond
            else ""
        ),
        spec=finished(alt.layer(*layers).properties(width=WIDTH, height=34 * len(labels))),
        data={"errors": rows},
    )


def _ratio(each: PredictedTrial) -> float:
    return each.speedup.predicted / each.speedup.measured


def predictor_label(predictor: str) -> str:
    """A predictor's name for people."""
    return PREDICTOR_LABELS.get(predictor, predictor)


def _about(trial: Mapping[str, Any]) -> dict[str, Any]:
    return {name: trial[name] for name in ("id", "policy", "family")}


def _diagonal(least: float, most: float, noise_floor: float | None) -> list[Any]:
    ends: Rows = [
        {
            "predicted": end,
            "measured": end,
            "low": end * (1 - (noise_floor or 0.0)),
            "high": end * (1 + (noise_floor or 0.0)),
        }
        for end in (least / 2, most * 2)
    ]
    chart = alt.Chart(alt.Data(values=list(ends)))
    line = chart.mark_line(color=INK, strokeWidth=1, opacity=0.6, clip=True).encode(
        x="predicted:Q", y="measured:Q"
    )
    if noise_floor is None:
        return [line]
    band = chart.mark_area(color=BAND, clip=True).encode(
        x="predicted:Q", y=alt.Y("low:Q"), y2="high:Q"
    )
    return [band, line]


def _ticks(ratios: Sequence[float]) -> list[float]:
    """Round ratios that enclose the data, 1 among them."""
    known = [ratio for ratio in ratios if ratio > 0] or [1.0]
    least, most = min(*known, 0.8), max(*known, 1.25)
    marks = [
        mantissa * 10.0**power
        for power in range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(most)) + 1)
        for mantissa in (1, 2, 5)
    ]
    below = max((mark for mark in marks if mark <= least), default=least)
    above = min((mark for mark in marks if mark >= most), default=most)
    inside = [mark for mark in marks if below <= mark <= above]
    near = [0.8, 1.25] if most / least < 10 else []
    return sorted({*inside, *near} | {below, above})
