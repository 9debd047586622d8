"""The figures of one model and setting, as Altair charts: values in, charts out, no files.

Speedups are drawn with their 95% intervals over the noise floor as a band, so that a point inside
the band is seen to say nothing. Times are milliseconds per step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from pipeline.attribute.step_graph import PASSES
from pipeline.report.palette import FAMILIES, PASS_COLOURS, PASS_LABELS, family_of

WIDTH, HEIGHT = 660, 340
INK, BAND = "#333333", "#E3E3E3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measured configuration.

    Attributes:
        policy: the expanded policy.
        is_control: True for a copy of the baseline.
        frozen_fraction: frozen / trainable parameters, 0 to 1.
        earliest_trainable_layer: index of the first layer that still trains.
        speedup, low, high: median of the paired ratios and its 95% interval.
    """

    policy: str
    is_control: bool
    frozen_fraction: float
    earliest_trainable_layer: int
    speedup: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """Profiled op time of one configuration by pass, nanoseconds per step."""

    policy: str
    pass_ns: dict[str, int]


def speedup_by_fraction(points: Sequence[Point], noise_floor: float | None) -> alt.LayerChart:
    """Speedup against the frozen share of the parameters, in per cent."""
    x = alt.X(
        "fraction:Q",
        title="Frozen share of the parameters (%)",
        scale=alt.Scale(domain=[0, 100], nice=False, padding=6),
        axis=alt.Axis(values=list(range(0, 101, 10)), grid=False),
    )
    return _speedup_chart(points, noise_floor, x)


def speedup_by_depth(
    points: Sequence[Point], noise_floor: float | None, layers: int
) -> alt.LayerChart:
    """Speedup against the first trainable layer; `layers` is how many the model has."""
    x = alt.X(
        "depth:Q",
        title="First layer that trains (0 = at the input)",
        scale=alt.Scale(domain=[0, max(1, layers - 1)], nice=False, padding=6),
        axis=alt.Axis(format="d", tickMinStep=1, tickCount=min(layers, 20), grid=False),
    )
    return _speedup_chart(points, noise_floor, x)


def time_by_pass(bars: Sequence[Bar]) -> alt.Chart:
    """Stacked op time per pass, one bar a configuration, in the order given."""
    rows = [
        {
            "policy": bar.policy,
            "pass": PASS_LABELS[each],
            "order": position,
            "ms": bar.pass_ns.get(each, 0) / 1e6,
        }
        for bar in bars
        for position, each in enumerate(PASSES)
    ]
    labels = [PASS_LABELS[each] for each in PASSES]
    colours = [PASS_COLOURS[each] for each in PASSES]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(height={"band": 0.8})
        .encode(
            x=alt.X("sum(ms):Q", title="Profiled op time (ms per step)"),
            y=alt.Y(
                "policy:N",
                title=None,
                sort=[bar.policy for bar in bars],
                axis=alt.Axis(labelLimit=220, ticks=False, domain=False),
            ),
            color=alt.Color(
                "pass:N",
                title=None,
                scale=alt.Scale(domain=labels, range=colours),
                legend=alt.Legend(orient="top", columns=3, symbolType="square"),
            ),
            order=alt.Order("order:Q"),
        )
        .properties(width=WIDTH, height=alt.Step(17))
    )
    return _styled(chart)


def _speedup_chart(points: Sequence[Point], noise_floor: float | None, x: alt.X) -> alt.LayerChart:
    families = [family_of(point.policy, is_control=point.is_control) for point in points]
    rows = [
        {
            "fraction": 100 * point.frozen_fraction,
            "depth": point.earliest_trainable_layer,
            "speedup": point.speedup,
            "low": point.low,
            "high": point.high,
            "family": family.name,
        }
        for point, family in zip(points, families, strict=True)
    ]
    shown = [family for family in FAMILIES if family in families]
    names = [family.name for family in shown]
    colour = alt.Color(
        "family:N",
        title="Policy",
        scale=alt.Scale(domain=names, range=[family.colour for family in shown]),
    )
    shape = alt.Shape(
        "family:N",
        title="Policy",
        scale=alt.Scale(domain=names, range=[family.shape for family in shown]),
    )
    y = alt.Y("speedup:Q", title="Speedup (baseline step / its step)", scale=_speedup_scale(points))
    data = alt.Chart(alt.Data(values=rows))
    layers: list[Any] = [*_reference(noise_floor)]
    layers.append(data.mark_rule(strokeWidth=1.2, opacity=0.7).encode(
        x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour,
    ))  # fmt: skip
    layers.append(data.mark_point(filled=True, size=55, opacity=0.9).encode(
        x=x, y=y, color=colour, shape=shape,
    ))  # fmt: skip
    return _styled(alt.layer(*layers).properties(width=WIDTH, height=HEIGHT))


def _reference(noise_floor: float | None) -> list[Any]:
    """The noise floor as a band around 1, and the line where nothing is gained."""
    line = (
        alt.Chart(alt.Data(values=[{"y": 1.0}]))
        .mark_rule(color=INK, strokeDash=[4, 3])
        .encode(y="y:Q")
    )
    if noise_floor is None:
        return [line]
    band = (
        alt.Chart(alt.Data(values=[{"low": 1 - noise_floor, "high": 1 + noise_floor}]))
        .mark_rect(color=BAND)
        .encode(y=alt.Y("low:Q"), y2="high:Q")
    )
    return [band, line]


def _speedup_scale(points: Sequence[Point]) -> alt.Scale:
    low = min((point.low for point in points), default=1.0)
    high = max((point.high for point in points), default=1.0)
    return alt.Scale(domain=[min(0.9, low), max(1.1, high)], nice=True, zero=False)


def _styled(chart: Any) -> Any:
    return chart.configure(
        font="Liberation Sans, Helvetica, Arial, sans-serif", background="white", padding=8
    ).configure_axis(
        labelFontSize=12, titleFontSize=13, titleFontWeight="normal", titleColor=INK,
        labelColor=INK, gridColor="#EFEFEF",
    ).configure_legend(
        labelFontSize=12, titleFontSize=12, titleColor=INK, labelColor=INK, symbolSize=80,
    ).configure_view(stroke=None)  # fmt: skip
