"""The speedup that freezing could reach: a step with nothing left but its forward pass. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from frostline.analyse.busy import busy_fraction
from frostline.analyse.waits import waits_by_pass
from frostline.attribute.step_graph import PASSES, Pass
from frostline.store.trial_row import TrialRow

REMOVABLE: tuple[Pass, ...] = ("activation_gradient", "weight_gradient", "optimizer")
"""The passes that freezing can take away."""


def forward_alone(baselines: Iterable[TrialRow]) -> float | None:
    """1 + (B + U) / F of the baseline's step; None without a profile, or without forward time.

    F is the time of the forward pass, B that of the gradients (dX and dW), U that of the update,
    each with what the device waits for its ops, where that is known: means over the copies of the
    baseline on one kind of device that left a profile. Since a profile may be taken in a slow
    minute, the op times of each copy are scaled to the busy part of its unprofiled step, and its
    waits to the rest.
    """
    times = dict.fromkeys(PASSES, 0.0)
    for row in baselines:
        passes = row.passes_ns or {}
        total_ns = sum(passes.values())
        busy = busy_fraction(row)
        waits = waits_by_pass(row) or {}
        if row.forward_ns is None and not waits.get("forward"):
            continue  # nothing of its forward pass was observed
        for name in PASSES if total_ns else ():
            times[name] += (1.0 if busy is None else busy) * passes[name] / total_ns
            times[name] += waits.get(name, 0) / (row.step_ns or 1)
    removable = sum(times[name] for name in REMOVABLE)
    return 1 + removable / times["forward"] if times["forward"] else None
