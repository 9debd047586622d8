"""The cost model as an integer program: linear constraints over which layers train.

In: a cost model. Out: `Program`: columns, constraints, and a cost row that equals the cost model's
own sum in every configuration of whole layers. Refuses (UsageError) models whose anchors leave a
layer without a price for a mode that it can take.

Column i < L is 1 where layer i trains. All other columns follow from these, whatever is optimised:

- `any(S)` = 1 where a layer of the set S trains: not above the sum of its members, not below any.
  A set that contains another set is expressed through it, so that a chain takes two entries per
  set;
- layer i is passed through where it does not train and `any(upstream of i)` does;
- a product of two of them, where a price is paid only if both hold.

Only the first L columns have to be integers: with them, the bounds above leave each other column
one value. Pure, but for NumPy and SciPy's sparse matrices.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from frostline.attribute.walk import members, union
from frostline.costmodel.model import CostModel
from frostline.costmodel.terms import SharedOptimizer, Term
from frostline.costmodel.units import FIXED
from frostline.policies.modes import Mode

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A mixed-integer program without an objective.

    Attributes:
        layers: names, in layer order; their columns come first.
        columns: number of columns; each lies between its bound of 0 and `upper`.
        upper: upper bound of every column.
        rows: constraints, one row each.
        row_lower, row_upper: their bounds.
        cost: price of every column, in predicted baseline steps.
        fixed_cost: price that every configuration pays.
        sets: column that is 1 where a layer of a set trains, by the set's mask.
    """

    layers: tuple[str, ...]
    columns: int
    upper: Floats
    rows: sparse.csr_array
    row_lower: Floats
    row_upper: Floats
    cost: Floats
    fixed_cost: float
    sets: Mapping[int, int]


def program_of(model: CostModel, *, sets: Collection[int] = ()) -> Program:
    """State a cost model as a program.

    Args:
        model: the cost model.
        sets: masks of more sets of layers that are to have a column.

    Raises:
        UsageError: a layer has no price for a mode that it can take.
    """
    builder = _Builder(model)
    model.refuse_unpriced(builder.possible_modes())
    scale = model.baseline
    builder.define_sets((term.needed_by for term in model.terms), sets)
    for term in model.terms:
        builder.pay(term, term.price / scale)
    builder.pay_shared(model.shared_optimizer, scale)
    for group in builder.groups:  # something of each has to train
        builder.row(dict.fromkeys(members(group), 1.0), lower=1.0)
    return builder.program()


Expression = dict[int | None, float]
"""Coefficients by column; None for the constant."""


class _Builder:
    def __init__(self, model: CostModel) -> None:
        layers = model.facts.layers
        position = {layer.name: i for i, layer in enumerate(layers)}
        self.layers = tuple(position)
        self.position = position
        self.upstream = tuple(
            _mask(position[name] for name in layer.upstream if name != layer.name)
            for layer in layers
        )
        self.owner = {v.path: position[layer.name] for layer in layers for v in layer.variables}
        self.groups = tuple(
            _mask(self.owner[path] for path in group) for group in model.facts.required_groups
        )
        self.params = tuple(layer.params for layer in layers)
        self.cost: dict[int | None, float] = {}
        self.upper: list[float] = []
        self.entries: list[tuple[int, int, float]] = []
        self.row_lower: list[float] = []
        self.row_upper: list[float] = []
        self.sets = {1 << i: self.column() for i in range(len(layers))}
        self.passing: dict[int, int] = {}
        self.products: dict[tuple[int, Mode, int], int] = {}

    def program(self) -> Program:
        columns = len(self.upper)
        rows, cols, values = zip(*self.entries, strict=True)
        cost = np.zeros(columns)
        for column, price in self.cost.items():
            if column is not None:
                cost[column] = price
        return Program(
            layers=self.layers,
            columns=columns,
            upper=np.array(self.upper),
            rows=sparse.csr_array(
                (values, (rows, cols)), shape=(len(self.row_lower), columns), dtype=np.float64
            ),
            row_lower=np.array(self.row_lower),
            row_upper=np.array(self.row_upper),
            cost=cost,
            fixed_cost=self.cost.get(None, 0.0),
            sets=dict(self.sets),
        )

    def possible_modes(self) -> list[tuple[str, Mode]]:
        """Every (layer, mode) that some configuration shows."""

        def may_freeze(layers: int) -> bool:
            return all(group & ~layers for group in self.groups)

        found: list[tuple[str, Mode]] = []
        for i, name in enumerate(self.layers):
            found.append((name, "trainable"))
            if self.upstream[i] and may_freeze(1 << i):
                found.append((name, "pass_through"))
            if may_freeze(self.upstream[i] | 1 << i):
                found.append((name, "pruned"))
        return found

    def column(self, upper: float = 1.0) -> int:
        self.upper.append(upper)
        return len(self.upper) - 1

    def row(
        self, expression: Mapping[int, float], *, lower: float = -np.inf, upper: float = np.inf
    ) -> None:
        self.entries += [
            (len(self.row_lower), column, value) for column, value in expression.items()
        ]
        self.row_lower.append(lower)
        self.row_upper.append(upper)

    def define_sets(self, needs: Iterable[Collection[str]], more: Collection[int]) -> None:
        """Columns for every set of layers that a condition asks about, small sets first."""
        wanted = {self._needed(paths) for paths in needs} | set(self.upstream) | set(more)
        for wish in sorted(wanted - self.sets.keys() - {0}, key=lambda one: (one.bit_count(), one)):
            parts, missing = [], wish
            for known in reversed(self.sets):  # the largest last
                if not known & ~wish and (known & missing).bit_count() > 1:
                    parts.append(self.sets[known])
                    missing &= ~known
            parts += [i for i in range(len(self.layers)) if missing >> i & 1]
            column = self.sets[wish] = self.column()
            for part in parts:
                self.row({column: 1.0, part: -1.0}, lower=0.0)
            self.row({column: 1.0, **dict.fromkeys(parts, -1.0)}, upper=0.0)

    def pay(self, term: Term, price: float) -> None:
        for column, factor in self._condition(term).items():
            self.cost[column] = self.cost.get(column, 0.0) + factor * price

    def pay_shared(self, shared: SharedOptimizer, scale: float) -> None:
        """The shared optimizer's line; where it can be negative, a column above it and above 0."""
        line = {i: shared.slope * params / scale for i, params in enumerate(self.params)}
        base = shared.base / scale
        if min(base, base + sum(line.values())) >= 0:
            self.cost[None] = self.cost.get(None, 0.0) + base
            for i, price in line.items():
                self.cost[i] = self.cost.get(i, 0.0) + price
            return
        above = self.column(upper=np.inf)
        self.cost[above] = 1.0
        self.row({above: 1.0, **{i: -price for i, price in line.items()}}, lower=base)

    def _condition(self, term: Term) -> Expression:
        """1 where the term is paid, 0 where it is not."""
        needed = self._needed(term.needed_by)
        if term.needed_by and not needed:
            return {}
        if term.mode is None or term.unit == FIXED:
            return {self.sets[needed]: 1.0} if needed else {None: 1.0}
        i = self.position[term.unit]
        mode = self._mode(i, term.mode)
        if not mode or not needed or (term.mode == "trainable" and needed >> i & 1):
            return mode
        above = self.upstream[i]
        if term.mode == "trainable" and needed == above:
            return {self.sets[above]: 1.0, self._pass_through(i): -1.0}
        if term.mode == "pass_through":
            if not above & ~needed:
                return mode
            if needed == 1 << i:
                return {}
        return {self._product(i, term.mode, mode, needed): 1.0}

    def _needed(self, paths: Collection[str]) -> int:
        """Layers that own these variables; what the baseline does not train counts for none."""
        return _mask(self.owner[path] for path in paths if path in self.owner)

    def _mode(self, i: int, mode: Mode) -> Expression:
        if mode == "trainable":
            return {i: 1.0}
        passing: Expression = {self._pass_through(i): 1.0} if self.upstream[i] else {}
        if mode == "pass_through":
            return passing
        return {None: 1.0, i: -1.0, **dict.fromkeys(passing, -1.0)}

    def _pass_through(self, i: int) -> int:
        if i not in self.passing:
            above = self.sets[self.upstream[i]]
            column = self.passing[i] = self.column()
            self.row({column: 1.0, above: -1.0, i: 1.0}, lower=0.0)
            self.row({column: 1.0, above: -1.0}, upper=0.0)
            self.row({column: 1.0, i: 1.0}, upper=1.0)
        return self.passing[i]

    def _product(self, i: int, name: Mode, mode: Expression, needed: int) -> int:
        key = (i, name, needed)
        if key not in self.products:
            other = self.sets[needed]
            column = self.products[key] = self.column()
            constant = mode.get(None, 0.0)
            minus = {c: -value for c, value in mode.items() if c is not None}
            both = dict(minus)
            both[other] = both.get(other, 0.0) - 1.0
            self.row({column: 1.0, **both}, lower=constant - 1.0)
            self.row({column: 1.0, **minus}, upper=constant)
            self.row({column: 1.0, other: -1.0}, upper=0.0)
        return self.products[key]


def _mask(positions: Iterable[int]) -> int:
    return union(1 << position for position in positions)
