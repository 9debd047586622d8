"""Cost of each layer in each pass, as a heat map beside its share of the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from frostline.analyse.layer_costs import LAYER_PASSES, LayerCost
from frostline.reporting.figures.figure import WIDTH, Figure, finished
from frostline.words import layer_number

MOST_LAYERS = 60
_ORANGES = ["#FFFFFF", "#FBC48A", "#E8711C", "#8C2D04"]  # nothing is white
_GREYS = ["#FFFFFF", "#BDBDBD", "#3A3A3A"]
_COLUMNS = {
    "params": "params",
    "forward": "forward",
    "activation_gradient": "dX",
    "weight_gradient": "dW",
    "optimizer": "optimizer",
}


def layer_costs_figure(costs: Sequence[LayerCost]) -> Figure:
    """One line per layer in order of use; of a deep model the costliest ones, and one for the rest.

    Args:
        costs: of the baseline; with a share in at least one pass.
    """
    shown, rest = _costliest(costs)
    total_params = sum(cost.params for cost in costs) or 1
    rows: list[dict[str, Any]] = []
    names: list[str] = []
    for cost in shown:
        name = _name(cost, names)
        names.append(name)
        rows += _cells(name, cost.kind, cost.params / total_params, dict(cost.shares))
    if rest:
        names.append(name := f"{len(rest)} cheaper layers together")
        sums: dict[str, float | None] = {
            each: sum(cost.shares[each] or 0.0 for cost in rest) for each in LAYER_PASSES
        }
        rows += _cells(name, "", sum(cost.params for cost in rest) / total_params, sums)
    there = [label for label in _COLUMNS.values() if any(row["column"] == label for row in rows)]
    y = alt.Y(
        "layer:N", title=None, sort=names, scale=alt.Scale(domain=names),
        axis=alt.Axis(ticks=False, domain=False),
    )  # fmt: skip
    x = alt.X(
        "column:N", title=None, sort=there, scale=alt.Scale(domain=there),
        axis=alt.Axis(orient="top", labelAngle=0, ticks=False, domain=False),
    )  # fmt: skip
    data = alt.Chart(alt.NamedData("layers"))
    tooltip = [
        alt.Tooltip("layer:N", title="Layer"),
        alt.Tooltip("kind:N", title="Kind"),
        alt.Tooltip("column:N", title="Column"),
        alt.Tooltip("percent:Q", title="Share (%)", format=".2f"),
    ]
    times = data.transform_filter("datum.column != 'params'")
    params = data.transform_filter("datum.column == 'params'")
    chart = alt.layer(
        times.mark_rect(stroke="#F2F2F2").encode(
            x=x, y=y, tooltip=tooltip,
            color=alt.Color(
                "percent:Q", title="Op time (%)",
                scale=alt.Scale(range=_ORANGES, domainMin=0, interpolate="rgb"),
            ),
        ),
        params.mark_rect(stroke="#F2F2F2").encode(
            x=x, y=y, tooltip=tooltip,
            color=alt.Color(
                "percent:Q", title="Parameters (%)",
                scale=alt.Scale(range=_GREYS, domainMin=0, interpolate="rgb"),
            ),
        ),
        data.mark_text(fontSize=11).encode(
            x=x, y=y, text="label:N", tooltip=tooltip,
            color=alt.condition("datum.dark", alt.value("white"), alt.value("black")),
        ),
    ).resolve_scale(color="independent")  # fmt: skip
    return Figure(
        kind="cost-by-layer",
        title="What each layer costs, and in which pass",
        caption="Shares of the baseline's op time, in per cent, beside each layer's share of the "
        "parameters. Freezing a layer saves its dW and its part of the update; its dX goes only "
        "when every layer before it is frozen too. Layers that are dark on the right are worth "
        "freezing, even where they are pale on the left.",
        spec=finished(chart.properties(width=WIDTH, height=20 * len(names))),
        data={"layers": _dark(rows)},
    )


def _costliest(costs: Sequence[LayerCost]) -> tuple[list[LayerCost], list[LayerCost]]:
    ranked = sorted((cost for cost in costs if cost.layer), key=lambda cost: -cost.share)
    rest = {cost.layer for cost in ranked[MOST_LAYERS:]}
    return (
        [cost for cost in costs if not cost.layer or cost.layer not in rest],
        [cost for cost in costs if cost.layer in rest],
    )


def _name(cost: LayerCost, taken: Sequence[str]) -> str:
    name = f"{layer_number(cost.index)}  {cost.layer}" if cost.layer else "outside any layer"
    return name if name not in taken else f"{name} ({cost.kind})"


def _cells(
    name: str, kind: str, params: float, shares: dict[str, float | None]
) -> list[dict[str, Any]]:
    values = {"params": params, **shares}
    return [
        {
            "layer": name,
            "kind": kind,
            "column": label,
            "percent": round(100 * value, 3),
            "label": f"{100 * value:.1f}" if value >= 0.0005 else "",
        }
        for each, label in _COLUMNS.items()
        if (value := values.get(each)) is not None and not (each == "params" and not kind)
    ]


def _dark(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mark the cells that are too dark for black letters."""
    most = {
        params: max((row["percent"] for row in rows if _params(row) == params), default=0.0)
        for params in (True, False)
    }
    return [row | {"dark": row["percent"] > 0.6 * (most[_params(row)] or 1)} for row in rows]


def _params(row: dict[str, Any]) -> bool:
    return bool(row["column"] == _COLUMNS["params"])
