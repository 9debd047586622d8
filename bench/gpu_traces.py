"""Predictions from recorded GPU sweeps: `python bench/gpu_traces.py SWEEP ...`.

Each SWEEP is an OUT that was measured on a GPU and kept traces. It is copied, attributed and
predicted again with this version of the program, and one table is printed: mean and largest error
of the predicted speedups of all configurations that are no anchors, how far the anchors themselves
are from what was measured, beside the noise floor and the best naive predictor, and what the device
waits for. Times are conserved to the nanosecond, or the bench stops.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from held_out import errors_of
from recorded import writable_copy
from rich.console import Console
from rich.table import Table

from frostline import prediction
from frostline.analyse.groups import noise_floor
from frostline.prediction import PredictedGroup
from frostline.store.sweep import open_sweep
from frostline.sweep.reattribute import reattribute


def main() -> int:
    """Copy, attribute, predict, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweeps", nargs="+", type=Path)
    arguments = parser.parse_args()
    table = Table(title="Predicted speedups of recorded GPU sweeps", box=None, pad_edge=False)
    for column in (
        "sweep", "n", "noise floor", "mean", "max", "anchors", "best naive", "its mean", "busy",
        "update waits",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column in ("sweep", "best naive") else "right")
    details = Table(title="\nBy configuration", box=None, pad_edge=False)
    for column in ("sweep", "policy", "measured", "interval", "predicted", "error"):
        details.add_column(column, justify="left" if column in ("sweep", "policy") else "right")
    errors: list[float] = []
    for path in arguments.sweeps:
        with writable_copy(path) as copy:
            done = reattribute(copy)
            print(f"{path.name}: {len(done.rewritten)} traces attributed again")
            fitted, rest = prediction.sort_groups(open_sweep(copy))
        for group in fitted:
            errors += [abs(each.error) for each in group.judged()]
            table.add_row(path.name, *_cells(group))
            for cells in _configurations(group):
                details.add_row(path.name, *cells)
        for unpredicted in rest:
            print(unpredicted.notice)
    if len(arguments.sweeps) > 1 and errors:
        table.add_row(
            "all", str(len(errors)), "", f"{sum(errors) / len(errors):.2%}", f"{max(errors):.2%}"
        )
    console = Console(width=140)
    console.print(table)
    console.print(details)
    return 0


def _cells(group: PredictedGroup) -> list[str]:
    errors = errors_of(group)
    ours = errors.pop(prediction.THREE_ANCHOR)
    naive_mean, naive = min((error.mean_abs, name) for name, error in errors.items())
    base = next(row for row in group.rows if row.is_control and row.waits_ns is not None)
    waits = base.waits_ns or {}
    whole_ns = sum(waits.values())
    return [
        str(ours.count),
        f"{noise_floor(group.rows) or 0:.1%}",
        f"{ours.mean_abs:.2%}",
        f"{ours.max_abs:.2%}",
        f"{_anchor_error(group):.2%}",
        naive,
        f"{naive_mean:.2%}",
        f"{(base.busy_ns or 0) / (base.step_ns or 1):.0%}",
        f"{waits['optimizer'] / whole_ns:.0%}" if whole_ns else "none",
    ]


def _anchor_error(group: PredictedGroup) -> float:
    """The largest distance of an anchor that is no control from what was measured."""
    return max(
        abs((group.predicted(row.frozen_variables) or 0.0) / row.speedup - 1)
        for row in group.rows
        if row.anchor is not None and not row.is_control and row.speedup
    )


def _configurations(group: PredictedGroup) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for row in sorted(group.rows, key=lambda each: each.speedup or 0.0):
        predicted = group.predicted(row.frozen_variables)
        if predicted is None or not row.speedup or row.is_control:
            continue
        found.append(
            (
                row.policy + ("*" if row.anchor else ""),
                f"{row.speedup:.3f}",
                f"[{row.speedup_low:.3f}, {row.speedup_high:.3f}]",
                f"{predicted:.3f}",
                f"{predicted / row.speedup - 1:+.2%}",
            )
        )
    return found


if __name__ == "__main__":
    raise SystemExit(main())
