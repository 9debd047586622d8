"""Where variables lie in memory, drawn anew.

How fast a step is depends on where its buffers happen to lie: which of them share sets of a cache,
and which begin at the same place within a page. That is settled when a model is built and stays
for its life, so that two copies of one network differ for as long as they are compared, and an
interval from their pairs says nothing about it. Copies under XLA on a CPU differed by 1.2%
(standard deviation over 12 copies, 330 pairs each), and by 0.3% where their variables were moved
between the pairs; without XLA it was 0.5% and 0.3%. To draw the layout anew while one measures is
the remedy of Curtsinger and Berger, "Stabilizer: statistically sound performance evaluation",
ASPLOS 2013.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import chain, count
from typing import Any

import keras
import tensorflow as tf

_AT_ONCE_BYTES = 64 * 2**20
_GAP_BYTES = 200_000
"""Gaps up to this size move a buffer over pages and over sets of a second-level cache."""
_GAPS_BYTES = 32 * 2**20
"""What the gaps of a model may take together at most; they are kept until the next draw."""
_SEEDS = count()


class Placement:
    """The places of a model's variables."""

    def __init__(
        self,
        model: keras.Model,
        optimizers: Iterable[keras.Optimizer],
        strategy: tf.distribute.Strategy,
    ) -> None:
        """Prepare to move the variables of a model and of its optimizers.

        Args:
            model: compiled, with its variables.
            optimizers: those that its step applies.
            strategy: that it was built under.
        """
        self._model = model
        self._optimizers = tuple(optimizers)
        self._strategy = strategy
        # Two models that moved alike would go on lying alike.
        self._random = random.Random(next(_SEEDS))
        self._gaps: list[tf.Tensor] = []

    def draw(self) -> None:
        """Copy every variable to another place; values stay, to the bit.

        Takes up to 96 MiB beside what is there, with a variable of more than 64 MiB as much more.
        """
        gaps: list[tf.Tensor] = []
        variables = list(self._variables())
        most = min(_GAP_BYTES, 1 + _GAPS_BYTES // max(1, len(variables)))
        for batch in _batches(variables):
            copies = []
            for variable in batch:
                gaps.append(tf.zeros([self._random.randrange(most)], tf.uint8))
                copies.append(tf.raw_ops.DeepCopy(x=variable))
            for variable, copy in zip(batch, copies, strict=True):
                variable.assign(copy, read_value=False)
        self._gaps = gaps

    def _variables(self) -> Iterator[tf.Variable]:
        """Each once; under a strategy those of every replica."""
        slots = (each.variables for each in self._optimizers)
        known: Iterable[Any] = chain(self._model.variables, *slots)
        for variable in {id(each): each for each in known}.values():
            value = getattr(variable, "value", variable)
            for part in self._strategy.experimental_local_results(value):
                if isinstance(part, tf.Variable):
                    yield part


def _batches(variables: Iterable[tf.Variable]) -> Iterator[list[tf.Variable]]:
    """Variables of up to 64 MiB together; a larger one alone."""
    batch: list[tf.Variable] = []
    total = 0
    for variable in variables:
        size = (variable.shape.num_elements() or 0) * variable.dtype.size
        if batch and total + size > _AT_ONCE_BYTES:
            yield batch
            batch, total = [], 0
        batch.append(variable)
        total += size
    if batch:
        yield batch
