"""The page: one self-contained HTML text with everything that it needs to run.

In: content. Out: HTML. All text of users (names of models, layers, policies, error messages) is
escaped: by Jinja2 in the page, by Vega in figures and tooltips. A content security policy forbids
every request, and every script but the two of this page, which it names by their digests.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from importlib import resources

import vl_convert
from jinja2 import Environment, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from frostline.reporting.content import ReportContent
from frostline.reporting.figures.figure import FigureSection
from frostline.reporting.render import figure_name


def page(content: ReportContent) -> str:
    """The whole page of a report, from what `report_content` made."""
    return rendered(
        "report.html.j2",
        content.sections,
        content=content,
        links=any(row.link for row in content.rows),
        models={section.anchor: section.model for section in content.sections},
        labels={section.anchor: section.label for section in content.sections},
    )


def rendered(template: str, sections: Sequence[FigureSection], **values: object) -> str:
    """A page with figures.

    Args:
        template: a file of `templates`; it is given `sections`, `policy`, `style`, `runtime`,
            `behaviour` and `data` beside the values.
        sections: those with figures.
        values: what the template asks for.
    """
    runtime, behaviour = _runtime(), _resource("static", "report.js")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(_resource("templates", template)).render(
        **values,
        sections=sections,
        policy=_policy(runtime, behaviour),
        style=Markup(_resource("templates", "report.css")),
        runtime=Markup(runtime),
        behaviour=Markup(behaviour),
        data=htmlsafe_json_dumps(_data(sections), dumps=_compact),
    )


def _data(sections: Sequence[FigureSection]) -> dict[str, object]:
    """What the script reads: each figure's specification, and the rows of each section once."""
    return {
        "figures": {
            figure_name(section, figure.kind): {
                "section": section.anchor,
                "spec": figure.spec,
                "data": list(figure.data),
                "bands": None if figure.bands is None else asdict(figure.bands),
            }
            for section in sections
            for figure in section.figures
        },
        "data": {
            section.anchor: {
                name: rows for figure in section.figures for name, rows in figure.data.items()
            }
            for section in sections
        },
    }


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _policy(*scripts: str) -> str:
    digests = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


@cache
def _runtime() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _resource(folder: str, name: str) -> str:
    return resources.files("frostline.reporting").joinpath(folder, name).read_text(encoding="utf-8")
