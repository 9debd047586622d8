"""What a figure is, and what all of them have in common: size, fonts, families, zoom.

In: an Altair chart over named data. Out: `Figure`. Nothing is rendered here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import altair as alt

from frostline.reporting.palette import FAMILIES, Family

WIDTH, HEIGHT = 700, 360
INK, BAND, GRID, FAINT = "#333333", "#E3E3E3", "#EFEFEF", "#777777"
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """Lines of a figure whose number depends on what the reader filters.

    Attributes:
        table, field: the data and the field that has one value per line.
        step: height of a line in pixels.
    """

    table: str
    field: str
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure.

    Attributes:
        kind: what it shows, as part of a file name; unique in a section.
        title, caption: above it.
        spec: Vega-Lite without data.
        data: rows by the name under which the specification asks for them.
        zoom: whether the axes can be moved and zoomed.
        bands: the lines that decide its height; None where the height is fixed.
    """

    kind: str
    title: str
    caption: str
    spec: Mapping[str, Any]
    data: Mapping[str, Rows]
    zoom: bool = False
    bands: Bands | None = None


class FigureSection(Protocol):
    """A part of a page that has figures; its anchor is unique in the page."""

    @property
    def anchor(self) -> str:
        """Its name in addresses and file names."""

    @property
    def figures(self) -> Sequence[Figure]:
        """In the order of the page."""


def zoomable() -> alt.Parameter:
    """Axes that move with a drag, zoom with Ctrl and the wheel, and go back on a double click.

    Without Ctrl the wheel scrolls the page, which a figure must not catch.
    """
    return alt.selection_interval(
        name="zoom", bind="scales", zoom="wheel![event.ctrlKey || event.metaKey]"
    )


def families_in(rows: Iterable[Mapping[str, Any]]) -> list[Family]:
    """The families among some rows, in the order of the legend."""
    there = {row["family"] for row in rows}
    return [family for family in FAMILIES if family.name in there]


def by_family(families: Sequence[Family], title: str = "Policy") -> tuple[alt.Color, alt.Shape]:
    """Colour and shape by family, with one legend for both."""
    names = [family.name for family in families]
    colours = alt.Scale(domain=names, range=[family.colour for family in families])
    shapes = alt.Scale(domain=names, range=[family.shape for family in families])
    return (
        alt.Color("family:N", title=title, scale=colours),
        alt.Shape("family:N", title=title, scale=shapes),
    )


def frozen_share_axis() -> alt.X:
    """The frozen share of the parameters from left to right, in per cent."""
    return alt.X(
        "fraction:Q",
        title="Frozen share of the parameters (%)",
        scale=alt.Scale(domain=[-2, 102], nice=False),
        axis=alt.Axis(values=list(range(0, 101, 10)), grid=False),
    )


def told_of(figure: Figure, about: str) -> Figure:
    """The figure with a line inside that says what it is of, for where it stands alone."""
    line = {
        "text": about, "anchor": "start", "fontSize": 11, "fontWeight": "normal", "color": FAINT,
        "offset": 4,
    }  # fmt: skip
    return replace(figure, spec={**figure.spec, "title": line})


def finished(chart: Any, *, legend_columns: int = 8) -> dict[str, Any]:
    """The specification of a chart in the common style.

    Everything that depends on the width is in the configuration, where the page can change it; an
    encoding would take precedence over it.
    """
    styled = chart.configure(
        font="Liberation Sans, Helvetica, Arial, sans-serif", background="white", padding=8
    ).configure_axis(
        labelFontSize=12, titleFontSize=13, titleFontWeight="normal", titleColor=INK,
        labelColor=INK, gridColor=GRID, labelLimit=230, titlePadding=8,
    ).configure_legend(
        orient="top", columns=legend_columns, titleOrient="left", labelFontSize=12,
        titleFontSize=12, titleColor=INK, titleFontWeight="normal", labelColor=INK, symbolSize=80,
        symbolOpacity=1, offset=6,
        columnPadding=14, gradientLength=140,
    ).configure_view(stroke=None)  # fmt: skip
    spec: dict[str, Any] = styled.to_dict(validate=False)
    spec.pop("$schema", None)  # an address; the page names none
    return spec
