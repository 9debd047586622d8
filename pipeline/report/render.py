"""From figures to pictures: SVG and PNG in memory. No files.

Names of models, layers and policies are foreign text; Vega's SVG writer escapes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import vl_convert

from pipeline.report.content import Section

PNG_SCALE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One rendered figure.

    Attributes:
        name: file name without extension; unique in the report.
        svg, png: the files' content.
    """

    name: str
    svg: str
    png: bytes


def figure_name(section: Section, kind: str) -> str:
    """Name of a section's figure, in the page and in files."""
    return f"{section.anchor}-{kind}"


def pictures(sections: Iterable[Section]) -> Iterator[Picture]:
    """Render every figure, one after the other."""
    for section in sections:
        for figure in section.figures:
            spec = {**figure.spec, "datasets": dict(figure.data)}
            svg = vl_convert.vegalite_to_svg(spec)
            yield Picture(
                name=figure_name(section, figure.kind),
                svg=svg,
                png=vl_convert.svg_to_png(svg, scale=PNG_SCALE),
            )
