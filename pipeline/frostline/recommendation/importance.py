"""The importance of each layer to the user: from a file, or from what the sweep recorded.

In: a model's facts, and a file or a measure. Out: `Importance`, one number per layer. Refuses
(UsageError) files that leave layers out, name unknown layers or name a layer twice, and numbers
that are negative, not finite or all zero. Reads the file and nothing else.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb

from frostline.errors import PolicyError, UsageError
from frostline.facts.model_facts import LayerFacts, ModelFacts
from frostline.listing import listed, quoted
from frostline.policies.units import resolve

Measure = Literal["file", "gradient_norm", "params"]
_COLUMNS = ("layer", "importance")
_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """The importance of each layer.

    Attributes:
        measure: where it comes from.
        words: where it comes from, in words.
        by_layer: no value is below zero and at least one is above; in the measure's own unit.
    """

    measure: Measure
    words: str
    by_layer: Mapping[str, float]


def by_params(facts: ModelFacts) -> Importance:
    """Importance by number of parameters, the default when nothing better is known."""
    return Importance(
        measure="params",
        words="parameter counts",
        by_layer={layer.name: float(layer.params) for layer in facts.layers},
    )


def by_gradient_norms(facts: ModelFacts, norms: Mapping[str, float | None]) -> Importance:
    """Importance by the gradient norms, by layer, that the sweep recorded for its baseline.

    Raises:
        UsageError: a layer has none, or all are zero.
    """
    missing = [layer.name for layer in facts.layers if norms.get(layer.name) is None]
    if missing:
        raise UsageError(
            f"no gradient norm is recorded for {listed(quoted(missing), _SHOWN, 'layers')} "
            f"of model `{facts.name}`: set `gradient_norms = true` under [measure] in the study "
            "and run it on the same --out again, or pass --importance FILE or --importance params"
        )
    values = {layer.name: norms[layer.name] or 0.0 for layer in facts.layers}
    _refuse_nothing(values, "the gradient norms that the sweep recorded")
    return Importance(
        measure="gradient_norm",
        words="gradient norms of the baseline, recorded by the sweep",
        by_layer=values,
    )


def read_importance(path: Path, facts: ModelFacts) -> Importance:
    """Read a file with the columns `layer` and `importance`; other columns are ignored.

    Args:
        path: Parquet where the name ends in `.parquet` or `.pq`, else CSV with a header.
        facts: the model. Layers go by their names, or by an end of the name that is unique. A
            layer that holds others stands for those of them that the file does not list; its
            importance is shared out by their parameters.

    Raises:
        UsageError: see above; names the file, the line or row, and the layers.
    """
    values: dict[str, float] = {}
    holders: list[tuple[str, str, float, tuple[LayerFacts, ...]]] = []
    for where, name, given in _rows(path):
        full, layers = _meant(where, name, facts)
        number = _number(given, where, full)
        if [layer.name for layer in layers] != [full]:
            holders.append((where, full, number, layers))
            continue
        if full in values:
            raise UsageError(f"{where}: layer `{full}` is listed twice; give each layer once")
        values[full] = number
    # From the inside out: a holder stands for what is not listed by a closer name.
    for where, full, number, layers in sorted(holders, key=lambda each: -each[1].count("/")):
        rest = [layer for layer in layers if layer.name not in values]
        if not rest:
            raise UsageError(
                f"{where}: `{full}` is listed twice, or so is every layer inside of it; give each "
                "layer once"
            )
        params = sum(layer.params for layer in rest)
        values |= {layer.name: number * layer.params / params for layer in rest}
    missing = [layer.name for layer in facts.layers if layer.name not in values]
    if missing:
        raise UsageError(
            f"{path}: no importance for {listed(quoted(missing), _SHOWN, 'layers')} of model "
            f"`{facts.name}`; give 0 to a layer that does not matter"
        )
    _refuse_nothing(values, str(path))
    return Importance(measure="file", words=f"the importances in {path}", by_layer=values)


def _meant(where: str, name: str, facts: ModelFacts) -> tuple[str, tuple[LayerFacts, ...]]:
    """The full name of a layer, and the layers that it means.

    Raises:
        UsageError: the name fits none or several.
    """
    try:
        full, paths = resolve(name, facts, variables=False)
    except PolicyError as error:
        raise UsageError(
            f"{where}: {error} With several models, choose one with --model."
        ) from None
    meant = (layer for layer in facts.layers if any(each.path in paths for each in layer.variables))
    return full, tuple(meant)


def _number(value: object, where: str, layer: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UsageError(f"{where}: `{value}` for layer `{layer}` is not a number") from None
    if not math.isfinite(number) or number < 0:
        raise UsageError(
            f"{where}: {number} for layer `{layer}`; an importance is a finite number, 0 or more"
        )
    return number


def _refuse_nothing(values: Mapping[str, float], source: str) -> None:
    if not any(values.values()):
        raise UsageError(f"{source}: every layer has importance 0, so there is nothing to keep")


def _rows(path: Path) -> Iterator[tuple[str, str, object]]:
    """Place in the file, layer and importance of every row."""
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file; --importance takes a CSV or Parquet file with the columns "
            "`layer` and `importance`, or `gradient_norm`, or `params`"
        )
    if path.suffix.lower() in (".parquet", ".pq"):
        yield from _parquet_rows(path)
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            _refuse_columns(path, reader.fieldnames or [])
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                yield where, (row["layer"] or "").strip(), row["importance"]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{path}: not a CSV file ({error}); a Parquet file's name ends in .parquet"
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None


def _parquet_rows(path: Path) -> Iterator[tuple[str, str, object]]:
    try:
        with duckdb.connect() as connection:
            table = connection.read_parquet(str(path))
            _refuse_columns(path, table.columns)
            rows = table.project("layer, importance").fetchall()
    except duckdb.Error as error:
        raise UsageError(f"{path}: cannot be read as Parquet: {error}") from None
    for number, (layer, value) in enumerate(rows, start=1):
        yield f"{path}, row {number}", str(layer), value


def _refuse_columns(path: Path, columns: object) -> None:
    names = list(columns) if isinstance(columns, list | tuple) else []
    missing = [column for column in _COLUMNS if column not in names]
    if missing:
        raise UsageError(
            f"{path}: no column {' and no column '.join(f'`{name}`' for name in missing)} (it has "
            f"{', '.join(f'`{name}`' for name in names) or 'none'}); write a header "
            "`layer,importance` and one line a layer"
        )
