"""From content to text: figures as SVG and PNG, the page as self-contained HTML. No files.

Everything foreign (names of models, layers, policies, error messages) is escaped: by Jinja2 in the
page, by Vega's SVG writer in the figures. The page names no address outside itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import vl_convert
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pipeline.report.charts import speedup_by_depth, speedup_by_fraction, time_by_pass
from pipeline.report.content import ReportContent, Section

PNG_SCALE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One rendered figure.

    Attributes:
        name: file name without extension; unique in the report.
        title, caption: above it on the page.
        svg: for the page and the SVG file.
        png: the PNG file's content.
    """

    name: str
    title: str
    caption: str
    svg: Markup
    png: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A rendered report: the page and its figures."""

    html: str
    figures: tuple[Figure, ...]


def render(content: ReportContent) -> Report:
    """Render the page and every figure.

    Args:
        content: what `report_content` made.
    """
    figures = {section.anchor: _figures(section) for section in content.sections}
    html = _page(content, figures)
    return Report(html=html, figures=tuple(each for some in figures.values() for each in some))


def _figures(section: Section) -> tuple[Figure, ...]:
    figures = []
    if section.points:
        figures.append(
            _figure(
                speedup_by_fraction(section.points, section.noise_floor),
                name=f"{section.anchor}-speedup-by-frozen-share",
                title="Speedup against the frozen share of the parameters",
                caption="Bars are 95% intervals; grey is the noise floor, within which nothing "
                "can be told apart.",
            )
        )
        figures.append(
            _figure(
                speedup_by_depth(section.points, section.noise_floor, section.layers),
                name=f"{section.anchor}-speedup-by-first-trainable-layer",
                title="Speedup against the first layer that trains",
                caption="The backward pass runs down to this layer and no further.",
            )
        )
    if section.bars:
        figures.append(
            _figure(
                time_by_pass(section.bars),
                name=f"{section.anchor}-time-by-pass",
                title="Where a step's time goes",
                caption="Op times from the profile, in the order of the frozen share; ops that "
                "run side by side add up to more than the step takes.",
            )
        )
    return tuple(figures)


def _figure(chart: Any, *, name: str, title: str, caption: str) -> Figure:
    spec = chart.to_dict()
    return Figure(
        name=name,
        title=title,
        caption=caption,
        svg=Markup(vl_convert.vegalite_to_svg(spec)),
        png=vl_convert.vegalite_to_png(spec, scale=PNG_SCALE),
    )


def _page(content: ReportContent, figures: Mapping[str, Sequence[Figure]]) -> str:
    templates = resources.files("pipeline.report").joinpath("templates")
    style = templates.joinpath("report.css").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(
        templates.joinpath("report.html.j2").read_text(encoding="utf-8")
    )
    return template.render(content=content, figures=figures, style=Markup(style))
