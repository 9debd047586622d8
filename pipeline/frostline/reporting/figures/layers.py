"""Cost of each layer in each pass, as a heat map beside its share of the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from frostline.analyse.layer_costs import LAYER_PASSES, LayerCost
from frostline.reporting.figures.figure import INK, WIDTH, Figure, finished
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
    "ms": "ms",
}


def layer_costs_figure(costs: Sequence[LayerCost], work_ns: float | None) -> Figure:
    """One line per layer in order of use; of a deep model the costliest ones, and one for the rest.

    Args:
        costs: of the baseline; with a share in at least one pass.
        work_ns: the part of the baseline's unprofiled step in which ops run; None: not known.
    """
    shown, rest = _costliest(costs)
    total_params = sum(cost.params for cost in costs) or 1
    rows: list[dict[str, Any]] = []
    names: list[str] = []
    for cost in shown:
        name = _name(cost, names)
        names.append(name)
        rows += _cells(name, cost.kind, cost.params / total_params, dict(cost.shares), work_ns)
    if rest:
        names.append(name := f"{len(rest)} cheaper layers together")
        known = {
            each: [share for cost in rest if (share := cost.shares[each]) is not None]
            for each in LAYER_PASSES
        }
        sums = {each: sum(shares) if shares else None for each, shares in known.items()}
        rows += _cells(name, "", sum(cost.params for cost in rest) / total_params, sums, work_ns)
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
        alt.Tooltip("ms:Q", title="Time (ms per step)", format=".3g"),
    ]
    times = data.transform_filter("datum.column != 'params' && datum.column != 'ms'")
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
        *(
            data.transform_filter(which).mark_text(fontSize=11, color=colour).encode(
                x=x, y=y, text="label:N", tooltip=tooltip
            )
            for which, colour in (
                ("datum.column == 'ms'", INK),
                ("datum.column != 'ms' && datum.dark", "white"),
                ("datum.column != 'ms' && !datum.dark", "black"),
            )
        ),
    ).resolve_scale(color="independent")  # fmt: skip
    return Figure(
        kind="cost-by-layer",
        title="What each layer costs, and in which pass",
        caption="Shares of the baseline's op time, in per cent, beside each layer's share of the "
        "parameters; the last column is all of it in milliseconds of an unprofiled step. Layers "
        "without weights have no number. Freezing a layer saves its dW and its part of the update; "
        "its dX goes only when every layer before it is frozen too. Layers that are dark on the "
        "right are worth freezing, even where they are pale on the left.",
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
    if not cost.layer:
        name = "outside any layer"
    else:
        name = f"{layer_number(cost.index)}  {cost.layer}" if cost.index >= 0 else cost.layer
    return name if name not in taken else f"{name} ({cost.kind})"


def _cells(
    name: str, kind: str, params: float, shares: dict[str, float | None], work_ns: float | None
) -> list[dict[str, Any]]:
    values = {"params": params, **shares}
    found: list[dict[str, Any]] = [
        {
            "layer": name,
            "kind": kind,
            "column": label,
            "percent": round(100 * value, 3),
            "ms": None if work_ns is None or each == "params" else round(value * work_ns / 1e6, 5),
            "label": f"{100 * value:.1f}" if value >= 0.0005 else "",
        }
        for each, label in _COLUMNS.items()
        if (value := values.get(each)) is not None and not (each == "params" and not kind)
    ]
    if work_ns is not None and any(value is not None for value in shares.values()):
        whole = sum(value or 0.0 for value in shares.values())
        ms = whole * work_ns / 1e6
        column = {
            "column": _COLUMNS["ms"],
            "percent": 0.0,
            "ms": round(ms, 5),
            "label": f"{ms:.3g}",
        }
        found.append({"layer": name, "kind": kind, **column})
    return found


def _dark(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mark the cells that are too dark for black letters."""
    most = {
        params: max((row["percent"] for row in rows if _params(row) == params), default=0.0)
        for params in (True, False)
    }
    return [row | {"dark": row["percent"] > 0.6 * (most[_params(row)] or 1)} for row in rows]


def _params(row: dict[str, Any]) -> bool:
    return bool(row["column"] == _COLUMNS["params"])
