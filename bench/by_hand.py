"""A speedup measured as a user would: two models, `model.fit`, a clock. No part of the program.

Used by `bench/fit_agreement.py` and by the test that holds Frostline against it.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from plain_fit import fit_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class ByHand:
    """What the clock said.

    Attributes:
        ratios: baseline / frozen, one a round.
        baseline_step_ns, frozen_step_ns: medians over the rounds, of `fit`'s time per step.
    """

    ratios: tuple[float, ...]
    baseline_step_ns: int
    frozen_step_ns: int

    @property
    def speedup(self) -> float:
        """Median of the ratios."""
        return statistics.median(self.ratios)


def fit_speedup(make: Any, freeze: Any, batch: Any, *, steps: int, rounds: int) -> ByHand:
    """Fit a baseline and a frozen copy in turn.

    Args:
        make: builds and compiles the model.
        freeze: freezes what the configuration freezes, on a model.
        batch: `(x, y)`, repeated for every step.
        steps: steps of one call of `fit`.
        rounds: calls for each of the two, in alternating order, after one that does not count.
    """
    import tensorflow as tf

    data = tf.data.Dataset.from_tensors(batch).repeat()
    models = {"baseline": make(), "frozen": make()}
    freeze(models["frozen"])

    def seconds(name: str) -> float:
        return fit_seconds(models[name], data, steps)

    times: dict[str, list[float]] = {"baseline": [], "frozen": []}
    for name in models:
        seconds(name)
    for round_ in range(rounds):
        order = ("baseline", "frozen") if round_ % 2 else ("frozen", "baseline")
        for name in order:
            models[name].fit(data, steps_per_epoch=1, shuffle=False, verbose=0)
            times[name].append(seconds(name))
    return ByHand(
        ratios=tuple(
            base / frozen for base, frozen in zip(times["baseline"], times["frozen"], strict=True)
        ),
        baseline_step_ns=round(statistics.median(times["baseline"]) / steps * 1e9),
        frozen_step_ns=round(statistics.median(times["frozen"]) / steps * 1e9),
    )
