"""Step time against what stays trainable: the best of each budget, and what was measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt

from frostline.analyse import GroupSummary, TrialSummary
from frostline.recommendation.recommendation import Recommendation
from frostline.reporting.figures.figure import (
    INK,
    WIDTH,
    Figure,
    by_family,
    families_in,
    finished,
    zoomable,
)
from frostline.reporting.palette import family_of_row
from frostline.words import in_figure, policy_words


def frontier_figure(
    group: GroupSummary, trials: Iterable[TrialSummary], found: Recommendation
) -> Figure:
    """The frontier of the cost model as a line of steps, and measured configurations as points.

    Args:
        group: with the baseline's step.
        trials: those that the page shows.
        found: the pick for half the step time, and the frontier around it.
    """
    step_ms = (group.baseline_step_ns or 0) / 1e6
    points = [
        {
            "ms": round(point.share * step_ms, 4),
            "kept": round(100 * point.kept, 3),
            "share": round(100 * point.share, 2),
            "frozen": len(point.frozen_layers),
            "text": f"{100 * point.share:.0f}% of the step" if point is found.pick else "",
        }
        for point in found.frontier
    ]
    rows = list(_measured(trials, found, step_ms))
    x = alt.X(
        "kept:Q", title=f"Stays trainable (% of {_measure(found)})", axis=alt.Axis(grid=False)
    )
    y = alt.Y("ms:Q", title="Step (ms)", scale=alt.Scale(zero=True))
    line = alt.Chart(alt.NamedData("budgets"))
    colour, shape = by_family(families_in(rows), "Measured")
    tooltip = [
        alt.Tooltip("share:Q", title="Predicted step (% of the baseline's)"),
        alt.Tooltip("ms:Q", title="Predicted step (ms)", format=".3g"),
        alt.Tooltip("kept:Q", title="Stays trainable (%)", format=".3g"),
        alt.Tooltip("frozen:Q", title="Frozen layers"),
    ]
    layers: list[Any] = [
        alt.Chart(alt.NamedData("measured"))
        .mark_point(filled=True, size=50, opacity=0.75, clip=True, cursor="pointer")
        .encode(
            x=x, y=y, color=colour, shape=shape,
            tooltip=[
                alt.Tooltip("policy:N", title="Policy"),
                alt.Tooltip("ms:Q", title="Measured step (ms)", format=".3g"),
                alt.Tooltip("kept:Q", title="Stays trainable (%)", format=".3g"),
            ],
        )
        .add_params(zoomable()),
        line.mark_line(color=INK, strokeWidth=1, strokeDash=[4, 3], clip=True).encode(
            x=x, y=y
        ),
        line.mark_point(filled=True, color=INK, size=36, clip=True).encode(
            x=x, y=y, tooltip=tooltip
        ),
        line.mark_text(
            align=alt.ExprRef("datum.kept > 50 ? 'right' : 'left'"), dy=16, fontSize=12,
            fontWeight="bold", color=INK,
        ).encode(x=x, y=y, text="text:N"),
    ]  # fmt: skip
    return Figure(
        kind="step-against-what-trains",
        title="Step time against what stays trainable",
        caption="Each dot on the line is the most that can stay trainable within a step time, by "
        "the cost model; between dots the line only leads the eye. Coloured points are measured "
        "configurations. Low and to the right is better: what lies far above gives away time.",
        spec=finished(alt.layer(*layers).properties(width=WIDTH, height=300)),
        data={"budgets": points, "measured": rows},
        zoom=True,
    )


def _measured(
    trials: Iterable[TrialSummary], found: Recommendation, step_ms: float
) -> Iterable[dict[str, Any]]:
    worth = found.importance.by_layer
    total = sum(worth.values()) or 1.0
    for row in (item.row for item in trials):
        if row.speedup and not (row.is_control or (row.frozen_variables and not row.frozen_layers)):
            kept = sum(value for name, value in worth.items() if name not in row.frozen_layers)
            yield {
                "id": row.trial_id,
                "policy": in_figure(policy_words(row)),
                "family": family_of_row(row).name,
                "ms": round(step_ms / row.speedup, 4),
                "kept": round(100 * kept / total, 3),
            }


def _measure(found: Recommendation) -> str:
    words = {"params": "parameters", "gradient_norm": "gradient norms"}
    return words.get(found.importance.measure, "what matters")
