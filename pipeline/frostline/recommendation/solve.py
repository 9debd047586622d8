"""The best configuration within a budget, by integer programming (HiGHS through `scipy.milp`).

In: a program, the importance of each layer, a budget. Out: the layers that train, or None where no
configuration fits. Where the search ran out of time, also a bound on what a better configuration
could keep. Pure.

HiGHS works with tolerances, but the answer has to be exact. So objective and budget row are scaled
until the tolerances are about 1e-10 of the whole, and each configuration that HiGHS returns is
priced by the cost model. A configuration that exceeds the budget is excluded and the search goes
on. Tolerances only admit configurations that exceed the budget and never exclude one that fits, so
the first one that fits is the best.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np
from scipy import optimize, sparse

from frostline.errors import FrostlineError
from frostline.recommendation.memory_limit import Cut, MemoryLimit
from frostline.recommendation.program import Floats, Program

TOLERANCE = 1e-9
"""Relative tolerance of budgets and of comparisons of importances; covers rounding only."""

_SCALE = 1e4
_SLACK = 1e-5
_OPTIMAL, _LIMIT, _INFEASIBLE = 0, 1, 2


class SolverError(FrostlineError):
    """HiGHS ended without an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A configuration.

    Attributes:
        training: for each layer whether it trains.
        kept: importance of the layers that train / that of all.
        share: predicted step time / the predicted baseline's.
        kept_at_most: no configuration within the budget keeps more; equals `kept` unless the
            search was cut short.
    """

    training: tuple[bool, ...]
    kept: float
    share: float
    kept_at_most: float


Price = Callable[[tuple[bool, ...]], float]


class Solver:
    """Solves one program for many budgets.

    Args:
        program: what is possible, and its cost.
        importance: of each layer; not negative, not all zero.
        price: the cost model's own price of a configuration / the baseline's; it is what counts.
        must_train: positions of layers that are not to be frozen.
        limit: on memory; None: none.
        time_limit_s: for one run of HiGHS.
        limited_s: for one search under a limit, which takes several runs; after that it takes what
            fits of its last answer, and says how much a better one could keep.
    """

    def __init__(
        self,
        program: Program,
        importance: Floats,
        price: Price,
        *,
        must_train: Collection[int] = (),
        limit: MemoryLimit | None = None,
        time_limit_s: float = 60.0,
        limited_s: float = 4.0,
    ) -> None:
        self._program = program
        relative = importance / importance.max()
        self._importance = relative / relative.sum()
        self._price = price
        self._limit = limit
        self._kept_out: list[Cut] = []
        self._limited_s = limited_s
        self._time_limit_s = time_limit_s
        self._worth = np.zeros(program.columns)
        self._worth[: len(program.layers)] = self._importance * _SCALE
        self._cost = program.cost * _SCALE
        self._lower = np.zeros(program.columns)
        self._lower[list(must_train)] = 1.0
        self._integrality = np.zeros(program.columns)
        self._integrality[: len(program.layers)] = 1

    def fastest(self) -> Found | None:
        """The configuration with the shortest predicted step, whatever it keeps.

        None where no configuration keeps the limit.
        """
        found = self._search(self._cost, [], lambda _: True)
        return None if found is None else self._found(found[0])

    def best(self, budget: float, *, thrifty: bool = True) -> Found | None:
        """The configuration that keeps most within a budget.

        Args:
            budget: predicted step time / the predicted baseline's, at most.
            thrifty: take the fastest of equally good configurations; needs a second search.

        Returns:
            None where no configuration is that fast.
        """
        limit = budget * (1 + TOLERANCE)

        def fits(training: tuple[bool, ...]) -> bool:
            return self._price(training) <= limit

        everything = (True,) * len(self._program.layers)
        if not thrifty and fits(everything) and self._keeps(everything):
            return self._found(everything)
        within = (self._cost, -np.inf, (limit - self._program.fixed_cost) * _SCALE)
        found = self._search(-self._worth, [within], fits)
        if found is None:
            return None
        training, bound = found
        best = self._found(training)
        if bound is not None:
            return replace(best, kept_at_most=max(best.kept, -bound / _SCALE))
        if not thrifty:
            return best
        as_good = (self._worth, best.kept * _SCALE - _SLACK, np.inf)
        leaner = self._search(
            self._cost,
            [within, as_good],
            lambda one: fits(one) and self._kept(one) >= best.kept * (1 - TOLERANCE),
        )
        return (
            best if leaner is None else min(self._found(leaner[0]), best, key=attrgetter("share"))
        )

    def _found(self, training: tuple[bool, ...]) -> Found:
        kept = self._kept(training)
        return Found(training=training, kept=kept, share=self._price(training), kept_at_most=kept)

    def _kept(self, training: tuple[bool, ...]) -> float:
        return float(self._importance @ np.array(training))

    def _search(
        self,
        objective: Floats,
        limits: list[tuple[Floats, float, float]],
        accept: Callable[[tuple[bool, ...]], bool],
    ) -> tuple[tuple[bool, ...], float | None] | None:
        """Minimise; returns the configuration, and a lower bound where the time ran out."""
        program = self._program
        cuts: list[tuple[Floats, float, float]] = []
        given_up = time.monotonic() + self._limited_s
        while True:
            extra = [*limits, *cuts, *map(self._row, self._kept_out)]
            rows = sparse.vstack([program.rows, *(row[None, :] for row, _, _ in extra)])
            lower = np.concatenate([program.row_lower, [low for _, low, _ in extra]])
            upper = np.concatenate([program.row_upper, [high for _, _, high in extra]])
            answer = optimize.milp(
                objective,
                integrality=self._integrality,
                bounds=optimize.Bounds(self._lower, program.upper),
                constraints=optimize.LinearConstraint(rows, lower, upper),
                options={"mip_rel_gap": 0.0, "time_limit": self._time_limit_s},
            )
            if answer.status == _INFEASIBLE:
                return None
            if answer.status not in (_OPTIMAL, _LIMIT) or answer.x is None:
                raise SolverError(
                    f"the solver found no configuration: {answer.message}; with more than a few "
                    "hundred layers, ask for a budget nearer to the fastest configuration's"
                )
            training = tuple(bool(value > 0.5) for value in answer.x[: len(program.layers)])
            if rows := [] if self._limit is None else self._limit.excess(training):
                self._kept_out += rows
                if time.monotonic() < given_up:
                    continue
                part = self._what_fits(training, accept)
                if part is not None:
                    return part, float(answer.fun)
                continue
            if any(training) and accept(training):
                return training, (
                    None if answer.status == _OPTIMAL else float(answer.mip_dual_bound)
                )
            cuts.append(self._all_but(training))

    def _keeps(self, training: tuple[bool, ...]) -> bool:
        return self._limit is None or self._limit.keeps(training)

    def _what_fits(
        self, training: tuple[bool, ...], accept: Callable[[tuple[bool, ...]], bool]
    ) -> tuple[bool, ...] | None:
        """As many of these layers as fit together, the most important first; None where none do.

        Layers that have to train come first of all.
        """
        first = sorted(
            (position for position, trains in enumerate(training) if trains),
            key=lambda each: (-self._lower[each], -self._importance[each]),
        )
        chosen: set[int] = set()
        for position in first:
            tried = tuple(each in chosen or each == position for each in range(len(training)))
            if self._keeps(tried):
                chosen.add(position)
        part = tuple(each in chosen for each in range(len(training)))
        held_back = any(self._lower[each] and not part[each] for each in range(len(training)))
        return part if any(part) and not held_back and accept(part) else None

    def _row(self, cut: Cut) -> tuple[Floats, float, float]:
        row = np.zeros(self._program.columns)
        for column, value in cut.values.items():
            row[column] = value
        return row, -np.inf, cut.upper

    def _all_but(self, training: tuple[bool, ...]) -> tuple[Floats, float, float]:
        """A row that every configuration satisfies except this one."""
        row = np.zeros(self._program.columns)
        row[: len(training)] = np.where(training, -1.0, 1.0)
        return row, 1.0 - sum(training), np.inf
