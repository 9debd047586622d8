"""Figures from Vega-Lite to pictures: `NAME.json` becomes `NAME.svg` and `NAME.png` beside it.

Run as a module with the arguments FOLDER, K and N, it does so for the K-th of every N such files in
the folder, K from 0, and ends with the process that started it. It imports nothing heavy of the
program, so that the several processes that draw a large report start quickly.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import vl_convert

from frostline.child import PARENT, die_with_parent

PNG_SCALE = 2.0


def draw(spec_files: Iterable[Path]) -> None:
    """Draw figures; their specifications stay.

    Args:
        spec_files: Vega-Lite as JSON, with their data. Names in it are text of users; Vega's SVG
            writer escapes them.

    Raises:
        ValueError: a file is no figure.
    """
    for path in spec_files:
        svg = vl_convert.vegalite_to_svg(json.loads(path.read_text(encoding="utf-8")))
        path.with_suffix(".svg").write_text(svg, encoding="utf-8")
        path.with_suffix(".png").write_bytes(vl_convert.svg_to_png(svg, scale=PNG_SCALE))


if __name__ == "__main__":
    die_with_parent(int(os.environ[PARENT]))
    _FOLDER, _NUMBER, _OF = sys.argv[1:]
    draw(sorted(Path(_FOLDER).glob("*.json"))[int(_NUMBER) :: int(_OF)])
