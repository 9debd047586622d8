"""Peak device memory and device energy against the frozen fraction, where they were measured."""

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
        label="Peak device memory (MB)",
        kind="memory",
        title="Memory against the frozen share",
        caption="The largest memory that the trial alone held on the device. Frozen layers keep no "
        "activations for their weights' gradients, and no optimizer state.",
    )


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
