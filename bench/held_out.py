"""Held-out prediction error on real models: `python bench/held_out.py [--out DIR] [STUDY ...]`.

Runs each study (resuming what is there) and, in a sweep of its own, its anchors alone; then prints
one table: mean and largest error of the predicted speedups of all configurations that are no
anchors, beside the noise floor and the best naive predictor; the share of clearly different pairs
in the right order; the same error when the anchors come from the sweep of their own; and the share
of op time that was attributed. With `--no-run` it only reads.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from frostline import prediction
from frostline.analyse.groups import noise_floor
from frostline.costmodel.held_out import HeldOut, HeldOutError, held_out_error
from frostline.prediction import PredictedGroup
from frostline.store.sweep import open_sweep
from frostline.store.trial_row import TrialRow
from frostline.study.study import Study, load_study, parse_study
from frostline.sweep.run import run_sweep

HERE = Path(__file__).parent


def main() -> int:
    """Run, evaluate, print."""
    arguments = _arguments()
    table = Table(title="Held-out error of predicted speedups", box=None, pad_edge=False)
    for column in (
        "model", "n", "noise floor", "mean", "max", "ordered", "best naive", "ratio",
        "anchors alone", "attributed",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column in ("model", "best naive") else "right")
    for path in arguments.studies or sorted((HERE / "studies").glob("*.toml")):
        own, alone = arguments.out / path.stem, arguments.out / f"{path.stem}-anchors"
        if not arguments.no_run:
            run_sweep(load_study(path), str(own))
            run_sweep(_anchors_only(path), str(alone))
        table.add_row(path.stem, *_row(own, alone))
    Console(width=140).print(table)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, default=Path("bench-out"))
    parser.add_argument("--no-run", action="store_true", help="only read what is there")
    return parser.parse_args()


def _anchors_only(path: Path) -> Study:
    """The study with the policy `anchors` alone, under a name of its own."""
    text = path.read_text()
    head, _, rest = text.partition("policies = [")
    _, _, tail = rest.partition("]\n")
    name = load_study(path).name
    changed = head.replace(f'"{name}"', f'"{name}-anchors"') + 'policies = ["anchors"]\n' + tail
    return parse_study(changed, path=path)


def _row(own: Path, alone: Path) -> list[str]:
    groups, rest = prediction.sort_groups(open_sweep(str(own)))
    if not groups:
        return [f"nothing to evaluate: {'; '.join(each.notice for each in rest)}"]
    group = groups[0]
    floor = noise_floor(group.rows)
    errors = errors_of(group)
    separate = _separate(alone, list(group.held_out))
    fractions = [row.attributed_fraction for row in group.rows if row.attributed_fraction]
    if prediction.THREE_ANCHOR not in errors:
        return ["nothing held out"]
    ours = errors.pop(prediction.THREE_ANCHOR)
    naive = min((error.mean_abs, name) for name, error in errors.items())
    return [
        str(ours.count),
        f"{floor:.1%}" if floor is not None else "-",
        f"{ours.mean_abs:.1%}",
        f"{ours.max_abs:.1%}",
        "-" if ours.ordered_share is None else f"{ours.ordered_share:.1%} of {ours.pairs}",
        f"{naive[1]} {naive[0]:.1%}",
        f"{naive[0] / ours.mean_abs:.1f}x",
        "-" if separate is None else f"{separate.mean_abs:.1%} (max {separate.max_abs:.1%})",
        f"{min(fractions):.2%}" if fractions else "-",
    ]


def errors_of(group: PredictedGroup) -> dict[str, HeldOutError]:
    """The error of each predictor over the held-out configurations of a group."""
    by_predictor: dict[str, list[HeldOut]] = defaultdict(list)
    rows = {row.trial_id: row for row in group.held_out}
    for each in prediction.predictions(group):
        if each.trial_id in rows and each.predicted_speedup:
            by_predictor[each.predictor].append(held(rows[each.trial_id], each.predicted_speedup))
    errors = {name: held_out_error(found) for name, found in by_predictor.items()}
    return {name: error for name, error in errors.items() if error is not None}


def _separate(alone: Path, rows: list[TrialRow]) -> HeldOutError | None:
    """Error when the anchors come from another run."""
    if not (alone / "manifest.json").exists():
        return None
    groups, _ = prediction.sort_groups(open_sweep(str(alone)))
    if not groups:
        return None
    return held_out_error(
        [held(row, groups[0].model.speedup(row.frozen_variables)) for row in rows]
    )


def held(row: TrialRow, predicted: float) -> HeldOut:
    """A measured trial beside what was predicted of it."""
    return HeldOut(
        measured=row.speedup or float("nan"),
        low=row.speedup_low or float("nan"),
        high=row.speedup_high or float("nan"),
        predicted=predicted,
    )


if __name__ == "__main__":
    sys.exit(main())
