"""Pairs of sweeps with known differences: every speedup is drawn from pairs with a known noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
from conftest import trial_row

from frostline.analyse import trial_groups
from frostline.comparison.comparison import Compared
from frostline.comparison.contents import Contents
from frostline.store.outdir import OutDir, TrialTables
from frostline.store.trial_row import TrialRow

TRUE = {f"prefix:{k}": 1 + 0.25 * k for k in range(1, 8)} | {"suffix:2": 1.02, "suffix:4": 1.1}
FROZEN = {f"prefix:{k}": range(k) for k in range(1, 8)} | {
    "suffix:2": range(6, 8), "suffix:4": range(4, 8),
}  # fmt: skip
_PAIRS, _LOWEST = 15, 4
"""Of 15 pairs the 4th and the 12th ratio are a 96.5% interval of the median."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Of the logarithm of a ratio: of each pair, of each trial, and of a whole sweep."""

    pair: float
    trial: float
    sweep: float = 0.0


QUIET = Noise(pair=0.005, trial=0.001)
NOISY = Noise(pair=0.08, trial=0.02)


def rows(seed: int, noise: Noise = QUIET, **changed: float) -> list[dict]:
    """Rows of a sweep: three controls, and the policies of `TRUE`.

    Args:
        seed: of the noise.
        noise: its size.
        changed: factors on true speedups, by policy with `_` for `:`.
    """
    rng = np.random.default_rng(seed)
    whole = rng.normal(0, noise.sweep)

    def measured(true: float) -> dict[str, float]:
        off = whole + rng.normal(0, noise.trial)
        drawn = true * np.exp(off + np.sort(rng.normal(0, noise.pair, _PAIRS)))
        low, high = drawn[_LOWEST - 1], drawn[_PAIRS - _LOWEST]
        return {"speedup_low": float(low), "speedup_high": float(high),
                "speedup": float(np.median(drawn)), "pairs": _PAIRS}  # fmt: skip

    found = [
        trial_row("none", [], 1.0, is_control=True, replicate=replicate) | measured(1.0)
        for replicate in range(3)
    ]
    for policy, true in TRUE.items():
        factor = changed.get(policy.replace(":", "_"), 1.0)
        found.append(trial_row(policy, FROZEN[policy], true) | measured(true * factor))
    return found


def contents(of: Sequence[dict], shown: str = "OUT") -> Contents:
    """What is read of a sweep with these rows, without its files."""
    nothing = {field.name: None for field in fields(TrialRow)}
    return Contents(
        about=Compared(shown=shown, study="demo", versions=()),
        groups=trial_groups(TrialRow.from_mapping(nothing | row) for row in of),
        models={},
        fitted={},
        unfitted={},
    )


@cache
def drawn(seed: int, noise: Noise = QUIET, prefix_4: float = 1.0) -> Contents:
    """What is read of a sweep that is drawn with this seed; `prefix:4` is so much faster."""
    return contents(rows(seed, noise, prefix_4=prefix_4))


def written(folder: Path, of: Sequence[dict], versions: dict[str, str] | None = None) -> str:
    """A sweep with these rows of `trials`."""
    out = OutDir.open(str(folder), create=True)
    with out.lock():
        out.begin_run('name = "demo"\n', "0" * 64, "demo", versions or {"tensorflow": "2.21.0"})
        for row in of:
            out.publish(TrialTables(trial_id=str(row["trial_id"]), trials=[row]))
    return str(folder)
