"""The linear pieces of the cost model: prices, and the conditions under which a step pays them.

In: nothing; these are the values that `CostModel` is built from. Out: `Term` and `SharedOptimizer`.
A prediction is the sum of the terms that a configuration pays, and a program that searches for
configurations is made of the same terms, so that the two cannot disagree. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from frostline.policies.modes import Mode

Part = Literal["forward", "activation_gradient", "weight_gradient", "optimizer"]
PARTS: tuple[Part, ...] = ("forward", "activation_gradient", "weight_gradient", "optimizer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A price and when it is paid.

    Attributes:
        unit: the layer that it belongs to; `FIXED` where it belongs to none.
        part: where in the step it is paid.
        price: in steps of the measured baseline; not negative.
        mode: paid only while the unit is in this mode; None: whatever its mode.
        needed_by: paid only while one of these variables trains; empty: always.
    """

    unit: str
    part: Part
    price: float
    mode: Mode | None = None
    needed_by: frozenset[str] = frozenset()

    def paid(self, modes: Mapping[str, Mode], training: Collection[str]) -> bool:
        """Whether a configuration pays it: by every layer's mode and the paths of what trains."""
        if self.mode is not None and modes[self.unit] != self.mode:
            return False
        return not self.needed_by or not self.needed_by.isdisjoint(training)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedOptimizer:
    """What the optimizer does for all variables at once: max(0, base + slope * trained parameters).

    Attributes:
        base: in steps of the measured baseline; may be negative where the line is steep.
        slope: in steps of the measured baseline per parameter that trains.
    """

    base: float
    slope: float

    def at(self, trained_params: float) -> float:
        """Price when that many parameters train."""
        return max(0.0, self.base + self.slope * trained_params)

    def scaled(self, factor: float) -> SharedOptimizer:
        """The same, times a factor."""
        return SharedOptimizer(base=self.base * factor, slope=self.slope * factor)
