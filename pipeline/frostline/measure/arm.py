"""One side of a comparison: a compiled model, its train function and its batches.

The step is Keras's own: `train_function` as `fit` makes it, called with an iterator of batches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from frostline.errors import TrialError

MIN_BLOCK_NS = 20_000_000
_WARM_STEPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Consecutive steps ending with a synchronisation.

    Attributes:
        n_steps: steps run.
        elapsed_ns: wall time from the first call until the last loss had reached the host.
    """

    n_steps: int
    elapsed_ns: int

    @property
    def step_ns(self) -> int:
        """Time per step in integer nanoseconds."""
        return round(self.elapsed_ns / self.n_steps)


class Arm:
    """A model that can be stepped.

    Attributes:
        model: the compiled model.
        batches: what the train function takes.
        steps: steps run so far.
        block_steps: steps in a block that lasts 20 ms or more; set by `warm_up`.
    """

    def __init__(
        self, model: keras.Model, batches: Iterator[Any], strategy: tf.distribute.Strategy
    ) -> None:
        self.model = model
        self.steps = 0
        self.block_steps = 1
        self.batches = batches
        self._strategy = strategy

    def build_variables(self) -> None:
        """Give a subclassed model its variables, which it has only once it has been called.

        Layers are named and frozen before the first step, so the variables are needed by then.
        """
        if self.model.built:
            return
        batch = next(self.batches)
        inputs = batch[0] if isinstance(batch, tuple) else batch
        with self._strategy.scope():
            self.model(inputs)

    def build_state(self) -> None:
        """Create metric and optimizer variables before the step is traced.

        As `fit` does under a strategy. Without it the first call creates them while tracing, and
        TensorFlow traces the whole step a second time. A model whose state cannot be built
        symbolically (a custom train step, for instance) is left to pay for that.
        """
        if self.model.optimizer is not None and not self.model.optimizer.built:
            with self._strategy.scope():
                self.model.optimizer.build(self.model.trainable_variables)
        batch = self._peek()
        if batch is None or keras.config.backend() != "tensorflow":
            return
        try:
            with self._strategy.scope():
                self.model._symbolic_build(data_batch=batch)
        except (ValueError, TypeError, RuntimeError, AttributeError) as error:
            print(f"state is built during the first step: {error}", flush=True)

    def _peek(self) -> Any:
        """A batch, without taking one from a pipeline; None where that is not possible."""
        spec = getattr(self.batches, "element_spec", None)
        if spec is None:
            return next(self.batches)
        return None if isinstance(self._strategy, tf.distribute.MirroredStrategy) else spec

    def run(self, n_steps: int) -> Block:
        """Run `n_steps` training steps and wait for the last one's loss.

        Raises:
            TrialError: the loss is not finite.
        """
        step = self.model.train_function
        start = time.perf_counter_ns()
        for _ in range(n_steps):
            logs = step(self.batches)
        value = _to_host(logs)
        elapsed = time.perf_counter_ns() - start
        self.steps += n_steps
        if not math.isfinite(value):
            raise TrialError(
                "measure",
                "NonFiniteLoss",
                f"the loss is {value} after {self.steps} steps; lower the learning rate, or give "
                "the model entry real `data`",
            )
        return Block(n_steps=n_steps, elapsed_ns=elapsed)

    def warm_up(self) -> list[Block]:
        """Run the steps that do not count, and choose the length of a block from them."""
        blocks = [self.run(1) for _ in range(_WARM_STEPS)]
        fastest = min(block.step_ns for block in blocks)
        self.block_steps = max(1, math.ceil(MIN_BLOCK_NS / max(fastest, 1)))
        if self.block_steps > 1:
            block = self.run(self.block_steps)
            blocks.append(block)
            self.block_steps = max(1, math.ceil(MIN_BLOCK_NS / max(block.step_ns, 1)))
        return blocks

    def profile(self, n_steps: int) -> list[Block]:
        """Run single steps, each marked for the profiler as a training step."""
        blocks = []
        for number in range(n_steps):
            with tf.profiler.experimental.Trace("train", step_num=number, _r=1):
                blocks.append(self.run(1))
        return blocks


def _to_host(logs: Any) -> float:
    """The step's loss (its first log where none is called `loss`) as a host value: synchronises."""
    value = logs.get("loss") if isinstance(logs, dict) else None
    if value is None:
        value = next(iter(keras.tree.flatten(logs)), None)
    if value is None:
        raise TrialError(
            "measure",
            "NoLoss",
            "the training step returns nothing; let train_step return its metrics",
        )
    return float(np.mean(keras.ops.convert_to_numpy(value), dtype=np.float64))
