"""Two sweeps in figures: both speedup curves, and the ratio of each configuration against a margin.

Configurations stand in the order of A's speedups. So A's curve rises throughout, and where B's does
not, the order has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt

from frostline.comparison.comparison import ComparedGroup, Configuration
from frostline.comparison.ratio import Measured
from frostline.comparison.sentences import change
from frostline.reporting.figures.figure import (
    BAND,
    HEIGHT,
    INK,
    WIDTH,
    Figure,
    Rows,
    finished,
)
from frostline.reporting.page_limits import spread
from frostline.reporting.palette import BLUE, GREY, ORANGE, VERMILION
from frostline.words import in_figure

MOST = 60
_A, _B, _PREDICTED = "A", "B", "B, predicted"
_COLOURS = {_A: BLUE, _B: VERMILION, _PREDICTED: ORANGE}
_SHAPES = {_A: "circle", _B: "square", _PREDICTED: "diamond"}
_VERDICTS = {"slower": VERMILION, "faster": BLUE, "same": GREY, "cannot tell": ORANGE}
_LINE = 22


def curves_figure(group: ComparedGroup) -> Figure | None:
    """The speedups of A's configurations in both sweeps; None where A measured none."""
    known = [one for one in group.of_a if one.a is not None and one.a.speedup is not None]
    known.sort(key=lambda one: _speedup_of_a(one))
    shown = spread(known, MOST)
    rows = [
        row for place, one in enumerate(shown) for row in _points(one, _name(one, place, shown))
    ]
    if not rows:
        return None
    more = "" if len(shown) == len(known) else f" {len(shown)} of {len(known)} are shown."
    return Figure(
        kind="speedups",
        title="Speedups of both sweeps",
        caption="Configurations in the order of A's speedups, with 95% intervals. Where B's line "
        "falls, two configurations have changed places. Predictions for B are made from its "
        f"anchors alone.{more}",
        spec=_curves(rows),
        data={"speedups": rows},
    )


def ratios_figure(group: ComparedGroup, margin: float) -> Figure | None:
    """B's speedup over A's, over the margin as a band; None where nothing is judged."""
    judged = [one for one in group.configurations if one.speedups and one.speedups.ratio]
    shown = spread(judged, MOST)
    rows = [_ratio_row(one, _name(one, place, shown)) for place, one in enumerate(shown)]
    if not rows:
        return None
    more = "" if len(shown) == len(judged) else f" {len(shown)} of {len(judged)} are shown."
    return Figure(
        kind="ratios",
        title="Change of each speedup from A to B",
        caption="The thick bar is a configuration's own 95% interval. The thin one holds for all "
        f"configurations together. Grey is the margin, within which they are the same.{more}",
        spec=_ratios(rows, margin),
        data={"ratios": rows},
    )


def _speedup_of_a(one: Configuration) -> float:
    return one.a.speedup.value if one.a is not None and one.a.speedup is not None else 0.0


def _name(one: Configuration, place: int, shown: Sequence[Configuration]) -> str:
    """The policy; with its place where two that look alike freeze different things."""
    name = in_figure(one.policy)
    alike = sum(in_figure(each.policy) == name for each in shown)
    return name if alike == 1 else f"{name} ({place + 1})"


def _points(one: Configuration, name: str) -> Iterable[dict[str, Any]]:
    for sweep, side in ((_A, one.a), (_B, one.b)):
        if side is not None and side.speedup is not None:
            yield _point(name, sweep, side.speedup)
    if one.prediction is not None and not one.prediction.is_anchor:
        yield _point(name, _PREDICTED, one.prediction.speedup)


def _point(name: str, sweep: str, measured: Measured) -> dict[str, Any]:
    return {
        "policy": name,
        "sweep": sweep,
        "speedup": round(measured.value, 4),
        "low": round(measured.low, 4),
        "high": round(measured.high, 4),
        "interval": f"[{measured.low:.2f}, {measured.high:.2f}]",
    }


def _curves(rows: Rows) -> dict[str, Any]:
    there = [sweep for sweep in _COLOURS if any(row["sweep"] == sweep for row in rows)]
    colour = alt.Color(
        "sweep:N",
        title="Sweep",
        scale=alt.Scale(domain=there, range=[_COLOURS[each] for each in there]),
    )
    shape = alt.Shape(
        "sweep:N",
        title="Sweep",
        scale=alt.Scale(domain=there, range=[_SHAPES[each] for each in there]),
    )
    x = alt.X(
        "policy:N",
        title="Configuration, in the order of A's speedups",
        sort=list(dict.fromkeys(row["policy"] for row in rows)),
        axis=alt.Axis(labelAngle=-45, grid=False),
    )
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    y = alt.Y(
        "speedup:Q",
        title="Speedup (baseline step / its step)",
        scale=alt.Scale(type="log", domain=[min(0.95, low), 1.05 * high], nice=False),
    )
    data = alt.Chart(alt.NamedData("speedups"))
    measured = data.transform_filter(alt.datum.sweep != _PREDICTED)
    one = alt.Chart(alt.Data(values=[{"y": 1.0}])).mark_rule(color=INK, opacity=0.5)
    layers: list[Any] = [
        one.encode(y="y:Q"),
        measured.mark_line(strokeWidth=1.6, opacity=0.6).encode(x=x, y=y, color=colour),
        data.mark_rule(strokeWidth=1.2, opacity=0.7).encode(
            x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour
        ),
        data.mark_point(filled=True, size=60, opacity=0.9).encode(
            x=x, y=y, color=colour, shape=shape, tooltip=_TOOLTIP
        ),
    ]
    return finished(alt.layer(*layers).properties(width=WIDTH, height=HEIGHT))


_TOOLTIP = [
    alt.Tooltip("policy:N", title="Policy"),
    alt.Tooltip("sweep:N", title="Sweep"),
    alt.Tooltip("speedup:Q", title="Speedup", format=".3f"),
    alt.Tooltip("interval:N", title="95% interval"),
]


def _ratio_row(one: Configuration, name: str) -> dict[str, Any]:
    judgement = one.speedups
    if judgement is None or judgement.ratio is None:
        raise ValueError(f"{one.policy} has no ratio to draw")
    ratio = judgement.ratio
    ends = {
        "ratio": ratio.value, "low": ratio.low, "high": ratio.high,
        "joint_low": ratio.joint_low, "joint_high": ratio.joint_high,
    }  # fmt: skip
    changes = {key: round(100 * (value - 1), 3) for key, value in ends.items()}
    return {"policy": name, "verdict": judgement.verdict, "change": change(ratio), **changes}


def _ratios(rows: Rows, margin: float) -> dict[str, Any]:
    colour = alt.Color(
        "verdict:N",
        title="Verdict",
        scale=alt.Scale(domain=list(_VERDICTS), range=list(_VERDICTS.values())),
    )
    y = alt.Y("policy:N", title=None, sort=[row["policy"] for row in rows])
    band = (
        alt.Chart(alt.Data(values=[{"from": -100 * margin, "to": 100 * margin}]))
        .mark_rect(color=BAND)
        .encode(x=alt.X("from:Q"), x2="to:Q")
    )
    zero = alt.Chart(alt.Data(values=[{"x": 0.0}])).mark_rule(color=INK, opacity=0.5)
    data = alt.Chart(alt.NamedData("ratios"))
    x = alt.X("ratio:Q", title="Change of the speedup from A to B (%)")
    tooltip = [
        alt.Tooltip("policy:N", title="Policy"),
        alt.Tooltip("change:N", title="Change"),
        alt.Tooltip("verdict:N", title="Verdict"),
    ]
    layers: list[Any] = [
        band,
        zero.encode(x="x:Q"),
        data.mark_rule(strokeWidth=1, opacity=0.7).encode(
            x=alt.X("joint_low:Q"), x2="joint_high:Q", y=y, color=colour
        ),
        data.mark_rule(strokeWidth=4, opacity=0.5).encode(
            x=alt.X("low:Q"), x2="high:Q", y=y, color=colour
        ),
        data.mark_point(filled=True, size=70).encode(x=x, y=y, color=colour, tooltip=tooltip),
    ]
    height = max(3, len(rows)) * _LINE
    return finished(alt.layer(*layers).properties(width=WIDTH, height=height))
