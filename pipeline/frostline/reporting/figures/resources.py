"""Memory and energy of the trials: against the frozen fraction, and memory against time."""

from __future__ import annotations

from typing import Any

import altair as alt

from frostline.reporting.figures.figure import (
    HEIGHT,
    WIDTH,
    Figure,
    Rows,
    by_family,
    families_in,
    finished,
    frozen_share_axis,
    zoomable,
)


def memory_figure(rows: Rows) -> Figure:
    """Peak device memory; `rows` as `trial_rows` gives them."""
    return _figure(
        rows,
        field="mb",
        label="Memory at the peak (MB)",
        kind="memory",
        title="Memory against the frozen share",
        caption="The most that the trial alone held at one time: on a GPU by the allocator's "
        "account, on a CPU what the model holds and the large tensors of its profiled steps. "
        "Frozen layers keep no activations for their weights' gradients, and no optimizer state.",
    )


def memory_time_figure(rows: Rows) -> Figure:
    """Memory against step time: measured and predicted, and what nothing else beats in both.

    `rows` as `trial_rows` gives them, with `predicted_mb`.
    """
    points = [
        {
            "id": row["id"],
            "policy": row["policy"],
            "step": round(100 / row["speedup"], 3),
            "mb": row[field],
            "kind": kind,
        }
        for row in rows
        for field, kind in (("mb", "measured"), ("predicted_mb", "predicted"))
        if row[field] is not None and row["speedup"]
    ]
    some = "measured" if any(each["kind"] == "measured" for each in points) else "predicted"
    frontier = _frontier([each for each in points if each["kind"] == some])
    top = 1.08 * max(each["mb"] for each in points)
    x = alt.X("step:Q", title="Step time (% of the baseline's)", scale=alt.Scale(zero=False))
    y = alt.Y("mb:Q", title="Memory at the peak (MB)", scale=alt.Scale(domain=[0, top], nice=True))
    line = (
        alt.Chart(alt.NamedData("frontier"))
        .mark_line(interpolate="step-after", strokeDash=[4, 3], opacity=0.7)
        .encode(x=x, y=y)
    )
    dots = (
        alt.Chart(alt.NamedData("points"))
        .mark_point(size=60, opacity=0.9, clip=True, cursor="pointer")
        .encode(
            x=x,
            y=y,
            shape=alt.Shape(
                "kind:N",
                title="Memory",
                scale=alt.Scale(domain=["measured", "predicted"], range=["circle", "cross"]),
            ),
            tooltip=[
                alt.Tooltip("policy:N", title="Policy"),
                alt.Tooltip("mb:Q", title="Memory (MB)", format=".4~g"),
                alt.Tooltip("step:Q", title="Step time (%)", format=".3~g"),
                alt.Tooltip("kind:N", title="Memory"),
                alt.Tooltip("id:N", title="Trial"),
            ],
        )
        .add_params(zoomable())
    )
    return Figure(
        kind="memory_time",
        title="Memory against time",
        caption="Each configuration by what its step takes and needs, as it was measured and as "
        "the memory model says from the anchors alone. The dashed line leads through those that no "
        "other one beats in both.",
        spec=finished(alt.layer(line, dots).properties(width=WIDTH, height=HEIGHT)),
        data={"points": points, "frontier": frontier},
        zoom=True,
    )


def _frontier(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Points that no other one beats in time and memory, by time."""
    found: list[dict[str, Any]] = []
    for point in sorted(points, key=lambda each: (each["step"], each["mb"])):
        if not found or point["mb"] < found[-1]["mb"]:
            found.append({"step": point["step"], "mb": point["mb"]})
    return found


def energy_figure(rows: Rows) -> Figure:
    """Device energy of a step; `rows` as `trial_rows` gives them."""
    return _figure(
        rows,
        field="joules",
        label="Device energy (J per step)",
        kind="energy",
        title="Energy against the frozen share",
        caption="Energy that the device counted during unprofiled steps, per step.",
    )


def _figure(rows: Rows, *, field: str, label: str, kind: str, title: str, caption: str) -> Figure:
    known: list[Any] = [row for row in rows if row[field] is not None]
    colour, shape = by_family(families_in(known))
    chart = (
        alt.Chart(alt.NamedData("trials"))
        .transform_filter(f"isValid(datum.{field})")
        .mark_point(filled=True, size=60, opacity=0.9, clip=True, cursor="pointer")
        .encode(
            x=frozen_share_axis(),
            y=alt.Y(
                f"{field}:Q",
                title=label,
                scale=alt.Scale(domain=[0, 1.08 * max(row[field] for row in known)], nice=True),
            ),
            color=colour,
            shape=shape,
            tooltip=[
                alt.Tooltip("policy:N", title="Policy"),
                alt.Tooltip(f"{field}:Q", title=label, format=".4~g"),
                alt.Tooltip("fraction:Q", title="Frozen (%)", format=".3~f"),
                alt.Tooltip("id:N", title="Trial"),
            ],
        )
        .add_params(zoomable())
    )
    return Figure(
        kind=kind,
        title=title,
        caption=caption,
        spec=finished(chart.properties(width=WIDTH, height=HEIGHT)),
        data={"trials": rows},
        zoom=True,
    )
