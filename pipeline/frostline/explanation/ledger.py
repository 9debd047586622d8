"""A step's time split over cells of layer and pass, so that it adds up to the step exactly.

In: a `StepProfile` and a step time. Out: `Ledger`. A profile is taken apart from the timing, when
the machine may run at another pace, and its ops may overlap. So the profile gives the shares, and
the unprofiled step gives the time:

    waiting  = step x (1 - share of the step in which an op runs, `frostline.analyse.busy`)
    cell     = (step - waiting) x op time of the cell / op time of all cells
    wait     = waiting x idle time before the cell's ops / all idle time, `frostline.analyse.waits`

in integers, by the largest remainder. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from frostline.analyse.profiles import ProfileCell, StepProfile
from frostline.analyse.waits import between_weight_ns, waiting_ns
from frostline.attribute.costs import apportion
from frostline.attribute.step_graph import Pass

WAITING = ProfileCell(layer=None, pass_=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """One step by cells.

    Attributes:
        cells: nanoseconds; they add up to the step.
        waits: nanoseconds of the waiting by the cells whose ops it precedes; under `WAITING`, what
            lies between steps. They add up to the waiting; empty where it is not known whose it is.
        waiting_known: False where waiting counts as 0 because it was not recorded.
    """

    cells: Mapping[ProfileCell, int]
    waits: Mapping[ProfileCell, int]
    waiting_known: bool

    def total(self, wanted: Callable[[ProfileCell], bool]) -> int:
        """Nanoseconds in the wanted cells."""
        return sum(ns for cell, ns in self.cells.items() if wanted(cell))

    def with_waits(self, *passes: Pass) -> int:
        """Nanoseconds of the ops of some passes, and of what the device waits for them."""
        return sum(
            ns
            for times in (self.cells, self.waits)
            for cell, ns in times.items()
            if cell.pass_ in passes
        )


def step_ledger(profile: StepProfile, step_ns: int) -> Ledger:
    """Split an unprofiled step in proportion to a profile with op time."""
    known_ns = waiting_ns(profile.row, step_ns)
    whole_ns = known_ns or 0
    cells = sorted(profile.cells, key=_order)
    parts = apportion(step_ns - whole_ns, [profile.cells[cell] for cell in cells])
    waits = {cell: wait.wait_ns for cell, wait in profile.waits.items()}
    waits[WAITING] = between_weight_ns(profile.row)
    waiting = sorted(waits, key=_order) if profile.waits and any(waits.values()) else []
    return Ledger(
        cells={**dict(zip(cells, parts, strict=True)), WAITING: whole_ns},
        waits=dict(
            zip(waiting, apportion(whole_ns, [waits[cell] for cell in waiting]), strict=True)
        )
        if waiting
        else {},
        waiting_known=known_ns is not None,
    )


def mean_ledger(ledgers: Sequence[Ledger], step_ns: int) -> Ledger:
    """The mean of several splits of the same step; it also adds up to the step.

    Raises:
        ValueError: there is no split.
    """
    if not ledgers:
        raise ValueError("there is no ledger to take the mean of")
    cells = sorted({cell for ledger in ledgers for cell in ledger.cells}, key=_order)
    sums = [sum(ledger.cells.get(cell, 0) for ledger in ledgers) for cell in cells]
    split = dict(zip(cells, apportion(step_ns, sums), strict=True))
    waiting = sorted({cell for ledger in ledgers for cell in ledger.waits}, key=_order)
    waits = [sum(ledger.waits.get(cell, 0) for ledger in ledgers) for cell in waiting]
    return Ledger(
        cells=split,
        waits=dict(zip(waiting, apportion(split[WAITING], waits), strict=True)) if waiting else {},
        waiting_known=all(ledger.waiting_known for ledger in ledgers),
    )


def _order(cell: ProfileCell) -> tuple[str, str, bool]:
    return (cell.layer or "", cell.pass_ or "", cell.exchange)
