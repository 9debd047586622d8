"""The best configuration within a budget, by integer programming (HiGHS through `scipy.milp`).

In: a program, the importance of each layer, a budget. Out: the layers that train, or None where no
configuration fits. Where the search ran out of time, also a bound on what a better configuration
could keep. Pure.

HiGHS works with tolerances, but the answer has to be exact. So objective and budget row are scaled
until the tolerances are about 1e-10 of the whole, and each configuration that HiGHS returns is
priced by the cost model. A configuration that exceeds the budget is excluded and the search goes
on. Tolerances only admit configurations that exceed the budget and never exclude one that fits, so
the first one that fits is the best.

Under a limit on memory, that a configuration of a large model is the best takes far longer to prove
than to find. So models of more than `EXACT_LAYERS` layers are searched there until nothing can be
better by more than a share of `_GAP`, and `Found.kept_at_most` has what is proven.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeAlias

import numpy as np
from scipy import optimize, sparse

from frostline.errors import FrostlineError
from frostline.recommendation.memory_limit import Cut, MemoryLimit
from frostline.recommendation.program import Floats, Program

TOLERANCE = 1e-9
"""Relative tolerance of budgets and of comparisons of importances; covers rounding only."""

EXACT_LAYERS = 30
"""Models of no more layers are searched until nothing better is left, under a limit, too."""

_GAP = 1e-4
_THRIFTY_GAP = 5e-3
"""The same for the time that is left to save among configurations that keep as much."""

_SCALE = 1e4
_SLACK = 1e-5
_SMALL_S = 20.0
"""CPU time for one search under a limit in a model of no more layers."""

_LIMITED_RUN_S = 10.0
"""For one run of HiGHS under a limit on memory, which leaves time for others."""

_LEAST_MARGIN = 1e-3
"""Share of the limit by which it is tightened at least."""

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
        kept_at_most: no configuration within the budget keeps more; equals `kept` where the search
            was exact.
    """

    training: tuple[bool, ...]
    kept: float
    share: float
    kept_at_most: float


@dataclass(frozen=True, slots=True)
class _Solved:
    """A configuration, a lower bound on the objective, and whether the time ran out before."""

    training: tuple[bool, ...]
    bound: float
    is_cut: bool


Training: TypeAlias = tuple[bool, ...]
"""For each layer whether it trains."""

Price: TypeAlias = Callable[[Training], float]
Accept: TypeAlias = Callable[[Training], bool]
Row: TypeAlias = tuple[Floats, float, float]
"""Coefficients by column, and the bounds of their sum."""


class Solver:
    """Solves one program for many budgets.

    Args:
        program: what is possible, and its cost.
        importance: of each layer; not negative, not all zero.
        price: the cost model's own price of a configuration / the baseline's; it is what counts.
        must_train: positions of layers that are not to be frozen.
        limit: on memory; None: none.
        time_limit_s: for one run of HiGHS.
        limited_s: CPU time for one search under a limit in a model of more than `EXACT_LAYERS`
            layers, which takes several runs; after that the limit is tightened until an answer
            fits, and the answer says how much a better one could keep.
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
        limited_s: float = 1.0,
    ) -> None:
        self._program = program
        relative = importance / importance.max()
        self._importance = relative / relative.sum()
        self._price = price
        self._limit = limit
        self._kept_out: list[Cut] = []
        self._fastest: Training | None = None
        self._limited_s = limited_s if len(program.layers) > EXACT_LAYERS else _SMALL_S
        self._run_s = time_limit_s if limit is None else min(time_limit_s, _LIMITED_RUN_S)
        self._is_small = len(program.layers) <= EXACT_LAYERS
        self._gap = 0.0 if self._is_small or limit is None else _GAP
        self._thrifty_gap = 0.0 if self._is_small else _THRIFTY_GAP
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
        found = self._search(self._cost, [], lambda _: True, gap=self._gap)
        if found is None:
            return None
        self._fastest = found.training
        return self._found(found.training)

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
        found = self._search(-self._worth, [within], fits, gap=self._gap)
        if found is None:
            return None
        exact = not (self._gap or found.is_cut)
        bound = 0.0 if exact else min(1.0, -found.bound / _SCALE)
        best = self._found(found.training, bound)
        if found.is_cut or not thrifty:
            return best
        as_good = (self._worth, best.kept * _SCALE - _SLACK, np.inf)
        leaner = self._search(
            self._cost,
            [within, as_good],
            lambda one: fits(one) and self._kept(one) >= best.kept * (1 - TOLERANCE),
            gap=self._thrifty_gap,
        )
        if leaner is None:
            return best
        # Where the search was exact, it keeps as much as the best one, up to the last digit.
        lean = self._found(leaner.training, 0.0 if exact else best.kept_at_most)
        return min(lean, best, key=attrgetter("share"))

    def _found(self, training: tuple[bool, ...], bound: float = 0.0) -> Found:
        """A configuration; `bound` is what a better one could keep, where that is more."""
        kept = self._kept(training)
        return Found(
            training=training,
            kept=kept,
            share=self._price(training),
            kept_at_most=max(kept, bound),
        )

    def _kept(self, training: tuple[bool, ...]) -> float:
        return float(self._importance @ np.array(training))

    def _search(
        self,
        objective: Floats,
        limits: Sequence[Row],
        accept: Accept,
        *,
        gap: float,
    ) -> _Solved | None:
        """Minimise, until nothing can be better by more than a share of `gap`.

        Rows of what is alive at least can stay just below a configuration's need for long. So when
        the time is up, they are tightened by what the answers need too much, until one fits; what
        was proven before stays the bound.
        """
        cuts: list[Row] = []
        given_up = time.thread_time() + self._limited_s
        proven: float | None = None
        margin = 0.0
        while True:
            kept_out = [self._row(cut, margin) for cut in self._kept_out]
            answer = self._run(objective, [*limits, *cuts, *kept_out], gap)
            if answer is None:
                return None if proven is None else self._last_resort(accept, proven)
            if answer.x is None:
                return self._last_resort(accept, proven or float(answer.mip_dual_bound or -_SCALE))
            training = tuple(bool(value > 0.5) for value in answer.x[: len(self._program.layers)])
            if self._limit is not None and not self._limit.keeps(training):
                is_bounded = any(cut.in_bytes for cut in self._kept_out)
                rows = self._limit.excess(training, thorough=self._is_small or not is_bounded)
                self._kept_out += rows
                if not rows or time.thread_time() > given_up:
                    proven = float(answer.mip_dual_bound) if proven is None else proven
                    margin += max(_LEAST_MARGIN, self._limit.over(training))
                continue
            if any(training) and accept(training):
                bound = float(answer.mip_dual_bound) if proven is None else proven
                is_cut = proven is not None or answer.status != _OPTIMAL
                return _Solved(training, bound, is_cut=is_cut)
            cuts.append(self._all_but(training))

    def _run(
        self, objective: Floats, extra: Sequence[Row], gap: float
    ) -> optimize.OptimizeResult | None:
        """One run of HiGHS under more rows; None where no configuration satisfies all of them."""
        program = self._program
        rows = sparse.vstack([program.rows, *(row[None, :] for row, _, _ in extra)])
        lower = np.concatenate([program.row_lower, [low for _, low, _ in extra]])
        upper = np.concatenate([program.row_upper, [high for _, _, high in extra]])
        answer = optimize.milp(
            objective,
            integrality=self._integrality,
            bounds=optimize.Bounds(self._lower, program.upper),
            constraints=optimize.LinearConstraint(rows, lower, upper),
            options={"mip_rel_gap": gap, "time_limit": self._run_s},
        )
        if answer.status == _INFEASIBLE:
            return None
        is_late = answer.status == _LIMIT and self._limit is not None
        if answer.status not in (_OPTIMAL, _LIMIT) or (answer.x is None and not is_late):
            raise SolverError(
                f"the solver found no configuration: {answer.message}; with more than a few "
                "hundred layers, ask for a budget nearer to the fastest configuration's"
            )
        return answer

    def _last_resort(self, accept: Accept, bound: float) -> _Solved:
        """What fits of all layers, the most important first; else the fastest configuration."""
        everything = (True,) * len(self._program.layers)
        for training in (self._what_fits(everything), self._fastest):
            if training is not None and accept(training):
                return _Solved(training, bound, is_cut=True)
        raise SolverError(
            "the search within the memory found no configuration in time; ask for a larger budget "
            "or more memory"
        )

    def _keeps(self, training: tuple[bool, ...]) -> bool:
        return self._limit is None or self._limit.keeps(training)

    def _what_fits(self, training: Training) -> Training | None:
        """As many of these layers as fit together, the most important first; None where none do.

        Layers that have to train come first of all. Halves are tried before single layers.
        """
        chosen: set[int] = set()

        def flags(layers: Collection[int]) -> Training:
            return tuple(each in layers for each in range(len(training)))

        def add(layers: list[int]) -> None:
            if self._keeps(flags(chosen.union(layers))):
                chosen.update(layers)
            elif len(layers) > 1:
                add(layers[: len(layers) // 2])
                add(layers[len(layers) // 2 :])

        add(
            sorted(
                (position for position, trains in enumerate(training) if trains),
                key=lambda each: (-self._lower[each], -self._importance[each]),
            )
        )
        held_back = any(self._lower[each] and each not in chosen for each in range(len(training)))
        return flags(chosen) if chosen and not held_back else None

    def _row(self, cut: Cut, margin: float) -> Row:
        row = np.zeros(self._program.columns)
        for column, value in cut.values.items():
            row[column] = value
        return row, -np.inf, cut.upper - (margin if cut.in_bytes else 0.0)

    def _all_but(self, training: Training) -> Row:
        """A row that every configuration satisfies except this one."""
        row = np.zeros(self._program.columns)
        row[: len(training)] = np.where(training, -1.0, 1.0)
        return row, 1.0 - sum(training), np.inf
