"""Predicted memory of recorded GPU sweeps: `python bench/gpu_memory.py SWEEP ...`.

Each SWEEP is an OUT that was measured on a GPU and kept the traces of its anchors. It is copied,
its models are built and traced again, and its trials are predicted anew. Prints mean and largest
error of the predicted peaks of all configurations that are no anchors, the share of pairs in the
right order, and the same of the naive predictors; then each configuration with its parts.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from recorded import writable_copy
from rich.console import Console
from rich.table import Table

from frostline import prediction
from frostline.memory.held_out import peak_errors
from frostline.prediction import PredictedGroup
from frostline.store.schema import PredictionRow
from frostline.store.sweep import Sweep, open_sweep
from frostline.sweep.reattribute import reattribute
from frostline.words import size


def main() -> int:
    """Copy, trace, predict, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweeps", nargs="+", type=Path)
    parser.add_argument(
        "--trust-study", action="store_true", help="import the builders that the sweeps name"
    )
    arguments = parser.parse_args()
    table = Table(title="Predicted peaks of recorded GPU sweeps", box=None, pad_edge=False)
    for column in ("sweep", "predictor", "n", "mean", "max", "ordered"):
        table.add_column(column, justify="left" if column in ("sweep", "predictor") else "right")
    details = Table(title="\nBy configuration (* an anchor)", box=None, pad_edge=False)
    for column in (
        "sweep", "policy", "measured", "predicted", "error", "weights", "slots", "batch",
        "activations", "gradients", "workspace", "slack",
    ):  # fmt: skip
        details.add_column(column, justify="left" if column in ("sweep", "policy") else "right")
    together: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for path in arguments.sweeps:
        with writable_copy(path) as copy:
            done = reattribute(copy, retrace=True, trust_study=arguments.trust_study)
            for trial, reason in done.untraced.items():
                print(f"{path.name}: {trial} not traced again: {reason}")
            sweep = open_sweep(copy)
            for name, peaks in _by_predictor(sweep).items():
                table.add_row(path.name, name, *_cells(peaks))
                together[name] += peaks
            for group in prediction.sort_groups(sweep)[0]:
                for cells in _configurations(group):
                    details.add_row(path.name, *cells)
    if len(arguments.sweeps) > 1:
        for name, peaks in together.items():
            table.add_row("all", name, *_cells(peaks))
    console = Console(width=150)
    console.print(table)
    console.print(details)
    return 0


def _by_predictor(sweep: Sweep) -> dict[str, list[tuple[int, int]]]:
    """Predicted and measured peaks of held-out configurations, by predictor."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in sweep.rows(PredictionRow):
        known = row.predicted_peak_bytes is not None and row.measured_peak_bytes is not None
        if known and not row.is_anchor:
            found[row.predictor].append((row.predicted_peak_bytes, row.measured_peak_bytes))  # type: ignore[arg-type]
    return found


def _cells(peaks: list[tuple[int, int]]) -> list[str]:
    errors = peak_errors(peaks)
    if errors is None:
        return ["0", "-", "-", "-"]
    ordered = (
        "-" if errors.ordered_share is None else f"{errors.ordered_share:.1%} of {errors.pairs}"
    )
    return [str(errors.count), f"{errors.mean_abs:.2%}", f"{errors.max_abs:.2%}", ordered]


def _configurations(group: PredictedGroup) -> list[tuple[str, ...]]:
    found = []
    for row in sorted(group.rows, key=lambda each: -(each.judged_peak_bytes or 0)):
        peak = group.judged_peak(row)
        if peak is None or row.judged_peak_bytes is None or row.replicate:
            continue
        found.append(
            (
                row.policy + ("*" if row.is_anchor else ""),
                size(row.judged_peak_bytes),
                size(peak.total),
                f"{peak.total / row.judged_peak_bytes - 1:+.2%}",
                *(f"{part / 1e6:.1f}" for part in peak.parts.values()),
            )
        )
    return found


if __name__ == "__main__":
    raise SystemExit(main())
