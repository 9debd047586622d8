"""What came of the cells of the matrix, in `bench/matrix.json`.

In: cells. Out: a JSON file with the noise floor up to which a cell is quiet, the cells of the short
sweeps (`cells`), and those that were measured again for longer (`again`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from results import machine

from frostline.costmodel.held_out import held_out_error
from frostline.version import __version__

if TYPE_CHECKING:
    from matrix import Cell

RECORD = Path(__file__).with_name("matrix.json")
QUIET = 0.04
"""Noise floor up to which the error of a cell says something about the prediction."""
GOOD = 0.03
"""Mean error up to which a prediction is as good as it is meant to be."""

Recorded: TypeAlias = Mapping[str, Any]
Part = Literal["cells", "again"]


def read() -> dict[str, list[Recorded]]:
    """Every cell that is recorded, by part."""
    known = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    return {"cells": known.get("cells", []), "again": known.get("again", [])}


def write(builder: str, found: Sequence[Cell], part: Part) -> None:
    """Put the cells of a model into the record in place of what is there of the same settings."""
    parts = read()
    kept = {(each["model"], each["setting"]): each for each in parts[part]}
    where = machine()
    for cell in found:
        error = held_out_error(cell.held_out)
        kept[cell.model, cell.setting] = {
            "model": cell.model,
            "builder": builder,
            "setting": cell.setting,
            "trials": cell.trials,
            "problems": list(cell.problems),
            "attributed": cell.attributed,
            "control_off": cell.control,
            "noise_floor": cell.floor,
            "held_out": error.count if error else 0,
            "mean_error": error.mean_abs if error else None,
            "largest_error": error.max_abs if error else None,
            "machine": where,
            "version": __version__,
            "date": datetime.now(UTC).date().isoformat(),
        }
    parts[part] = [kept[key] for key in sorted(kept)]
    listed = ",\n".join(f'"{name}": [{_lines(cells)}]' for name, cells in parts.items())
    RECORD.write_text(f'{{"quiet": {QUIET},\n{listed}}}\n', encoding="utf-8")


def _lines(cells: Iterable[Recorded]) -> str:
    lines = ",\n".join(json.dumps(each) for each in cells)
    return f"\n{lines}\n" if lines else ""


def worse_than_good(cells: Iterable[Recorded]) -> dict[str, list[str]]:
    """The settings by which a model's error is above `GOOD` although the machine was quiet.

    A model's error is the mean over all held-out configurations of its quiet cells. Of a model
    where that is above `GOOD`, the quiet cells that are.
    """
    quiet: dict[str, list[Recorded]] = {}
    for each in cells:
        floor = each["noise_floor"]
        if each["held_out"] and floor is not None and floor <= QUIET:
            quiet.setdefault(each["model"], []).append(each)
    found = {}
    for model, these in quiet.items():
        count = sum(each["held_out"] for each in these)
        if sum(each["held_out"] * each["mean_error"] for each in these) / count > GOOD:
            found[model] = [each["setting"] for each in these if each["mean_error"] > GOOD]
    return found
