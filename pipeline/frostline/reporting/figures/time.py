"""Where a step's time goes, by configuration: one bar each, stacked by pass.

Lengths are unprofiled step times relative to the baseline measured beside them, split by the shares
that passes have in the profile. So two bars can be compared even if the machine's speed differed
between their profiles. The tooltips have the profiled times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from frostline.attribute.step_graph import PASSES
from frostline.reporting.figures.figure import INK, WIDTH, Bands, Figure, finished
from frostline.reporting.palette import IDLE, IDLE_LABEL, PASS_COLOURS, PASS_LABELS, Family

_STEP = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A configuration with a profile.

    Attributes:
        policy: as shown; unique among the bars.
        family: kind of policy.
        relative_step: its step time / the baseline's, paired.
        busy: share of its step in which an op runs, 0 to 1; None where not known.
        pass_ns: profiled op time per step.
    """

    policy: str
    family: Family
    relative_step: float
    busy: float | None
    pass_ns: Mapping[str, int]


def time_figure(bars: Sequence[Bar]) -> Figure:
    """Stacked shares of the baseline's step, one bar per configuration, in the order given."""
    rows: list[dict[str, Any]] = []
    for bar in bars:
        total = sum(bar.pass_ns.values()) or 1
        whole = 100 * bar.relative_step
        running = whole * (1.0 if bar.busy is None else bar.busy)
        common = {"policy": bar.policy, "family": bar.family.name}
        for position, each in enumerate(PASSES):
            ns = bar.pass_ns.get(each, 0)
            if ns:
                rows.append({
                    **common, "pass": PASS_LABELS[each], "order": position,
                    "percent": round(running * ns / total, 3), "ms": round(ns / 1e6, 4),
                    "share": round(100 * ns / total, 2),
                })  # fmt: skip
        if whole > running:
            rows.append({
                **common, "pass": IDLE_LABEL, "order": len(PASSES),
                "percent": round(whole - running, 3), "ms": None, "share": None,
            })  # fmt: skip
    there = {row["pass"] for row in rows}
    colours = {**{PASS_LABELS[each]: PASS_COLOURS[each] for each in PASSES}, IDLE_LABEL: IDLE}
    shown = {label: colour for label, colour in colours.items() if label in there}
    chart = alt.Chart(alt.NamedData("times")).mark_bar(height={"band": 0.8}).encode(
        x=alt.X("percent:Q", title="Step time (% of the baseline's step)", stack="zero",
              axis=alt.Axis(tickCount=8)),
        y=alt.Y(
            "policy:N", title=None, sort=[bar.policy for bar in bars],
            axis=alt.Axis(ticks=False, domain=False),
        ),
        color=alt.Color(
            "pass:N", title=None,
            scale=alt.Scale(domain=list(shown), range=list(shown.values())),
            legend=alt.Legend(symbolType="square"),
        ),
        order=alt.Order("order:Q"),
        tooltip=[
            alt.Tooltip("policy:N", title="Policy"),
            alt.Tooltip("pass:N", title="Pass"),
            alt.Tooltip("percent:Q", title="% of the baseline's step", format=".1f"),
            alt.Tooltip("ms:Q", title="Profiled op time (ms)", format=".3~f"),
            alt.Tooltip("share:Q", title="% of its op time", format=".1f"),
        ],
    )  # fmt: skip
    baseline = (
        alt.Chart(alt.Data(values=[{"x": 100}]))
        .mark_rule(color=INK, strokeDash=[4, 3])
        .encode(x="x:Q")
    )
    return Figure(
        kind="time-by-pass",
        title="Where a step's time goes",
        caption="A bar is as long as the step takes, relative to the baseline measured beside it "
        "(dashed: 100%), and is split by the shares of its op time in the profile. Ordered by the "
        "frozen share.",
        spec=finished(
            alt.layer(chart, baseline).properties(width=WIDTH, height=_STEP * max(1, len(bars))),
            legend_columns=4,
        ),
        data={"times": rows},
        bands=Bands(table="times", field="policy", step=_STEP),
    )
