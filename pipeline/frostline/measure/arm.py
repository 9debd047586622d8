"""One side of a comparison: a compiled model, its train function and its batches.

The step is Keras's own: `train_function` as `fit` makes it, called with an iterator of batches.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from frostline.errors import TrialError
from frostline.measure.blocks import block_steps, settling_steps
from frostline.measure.eager import is_compiled_by_xla, runs_eagerly
from frostline.measure.first_state import FirstState
from frostline.measure.graph.cycles import Counter
from frostline.measure.placement import Placement
from frostline.measure.short_error import short_error
from frostline.variant import Variant
from frostline.words import counted

LONGEST_CYCLE = 128
"""Steps of the longest cycle that samples cover as a whole: a block of more would take too long."""

_LEAST_WATCHED, _WATCHED_S = 16, 30.0
_WARM_CYCLES = 3
_LEAST_MARKS = 3  # a median needs some


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
        state: what the model holds by its first step; builds it.
        steps: steps run so far.
        block_steps: steps in a block that lasts 20 ms or more; set by `warm_up`.
        optimizers: those that the step applies; the model's own until `applies` says it.
        cycle: steps after which the work repeats. A call of the train function may run several
            steps, the work may alternate from step to step, and batches may differ in shape; every
            sample and every profiled window is a multiple of it.
    """

    def __init__(
        self,
        model: keras.Model,
        batches: Iterator[Any],
        strategy: tf.distribute.Strategy,
        *,
        cycle: int = 1,
        variant: Variant | None = None,
    ) -> None:
        """Make an arm.

        Args:
            model: the plain model, compiled.
            batches: what its train function takes.
            strategy: that it was built under.
            cycle: after how many batches their shapes repeat.
            variant: what `state.build_variables` makes of the model.
        """
        self.model = model
        self.steps = 0
        self.block_steps = 1
        self.batches = batches
        own = getattr(model, "optimizer", None)  # a model that is not compiled has not even None
        self.optimizers = () if own is None else (own,)
        self.state = FirstState(model, batches, strategy, variant=variant)
        self._strategy = strategy
        self._movable = True
        self._placement: Placement | None = None
        self._steps_per_call = max(1, int(getattr(model, "steps_per_execution", None) or 1))
        self._cycle_of_batches = cycle
        self.cycle = math.lcm(self._steps_per_call, cycle)

    def repeat_after(self, steps: int) -> tuple[str, ...]:
        """Take note after how many steps the work repeats.

        Returns:
            A warning where that is too long for samples of whole cycles.
        """
        if steps > LONGEST_CYCLE:
            return (
                f"the work of the training step repeats after {steps} steps only; samples and "
                f"profiles cover whole cycles of {LONGEST_CYCLE} steps at most, so what happens "
                "less often is seen by chance",
            )
        self.cycle = math.lcm(self._steps_per_call, self._cycle_of_batches, steps)
        return ()

    def applies(self, optimizers: Sequence[keras.Optimizer]) -> None:
        """Take note of the optimizers that the step applies, none where it is not known."""
        if not optimizers:
            return
        self.optimizers = tuple(optimizers)
        self._placement = None
        self.state.keep_slots_of(optimizers)

    def observed_cycle(self, counters: Sequence[Counter]) -> int | None:
        """Steps after which these counters hold what they held before; None where none was seen.

        It runs as many steps, `LONGEST_CYCLE` at most, and no more than 16 that take over 30 s.
        """
        before, first = [each.value() for each in counters], self.steps
        started = time.perf_counter()
        while (ran := self.steps - first) < LONGEST_CYCLE:
            if ran >= _LEAST_WATCHED and time.perf_counter() - started > _WATCHED_S:
                break
            self.run(1)
            now = [each.value() for each in counters]
            if all(map(np.array_equal, before, now)):
                return self.steps - first
        return None

    def run(self, n_steps: int) -> Block:
        """Run `n_steps` training steps and wait for the last one's loss.

        Where a call of the train function runs several steps, the number is rounded up.

        Raises:
            TrialError: the loss is not finite.
        """
        step = self.model.train_function
        calls = math.ceil(n_steps / self._steps_per_call)
        start = time.perf_counter_ns()
        for _ in range(calls):
            logs = step(self.batches)
        value = _to_host(logs)
        elapsed = time.perf_counter_ns() - start
        n_steps = calls * self._steps_per_call
        self.steps += n_steps
        if not math.isfinite(value):
            raise TrialError(
                "measure",
                "NonFiniteLoss",
                f"the loss is {value} after {counted(self.steps, 'step')}; {self._remedies()}",
            )
        return Block(n_steps=n_steps, elapsed_ns=elapsed)

    def _remedies(self) -> str:
        """What may make the loss finite."""
        policy = getattr(self.model, "dtype_policy", None)
        if getattr(policy, "compute_dtype", None) == "float16":
            return (
                "float16 ends at 65,504, and masks of -1e9 are infinite in it: measure with the "
                "precision mixed_bfloat16 or float32, lower the learning rate, or give the model "
                "entry real `data`"
            )
        return "lower the learning rate, or give the model entry real `data`"

    def whole_cycles(self, n_steps: int) -> int:
        """The number of steps, rounded up to whole cycles."""
        return math.ceil(n_steps / self.cycle) * self.cycle

    def warm_up(self) -> list[Block]:
        """Run the steps that do not count, and choose the length of a block from them.

        A step that TensorFlow's executor runs op by op on a CPU is called until it has its final
        speed, unless that takes more than 2 s: what is gained is a percent of it.
        """
        blocks = [self.run(self.cycle) for _ in range(_WARM_CYCLES)]
        self.fit_block(min(block.step_ns for block in blocks))
        if self.block_steps > self.cycle:
            block = self.run(self.block_steps)
            blocks.append(block)
            self.fit_block(block.step_ns)
        left = settling_steps(sum(block.n_steps for block in blocks), blocks[-1].step_ns)
        if left and self._runs_op_by_op_on_a_cpu():
            blocks.append(self.run(self.whole_cycles(left)))
            self.fit_block(blocks[-1].step_ns)
        return blocks

    def _runs_op_by_op_on_a_cpu(self) -> bool:
        by_executor = not (runs_eagerly(self.model) or is_compiled_by_xla(self.model))
        return by_executor and not tf.config.list_physical_devices("GPU")

    def move(self) -> bool:
        """Let the model's variables lie elsewhere in memory; on a GPU they stay.

        They stay, too, where one of them cannot be copied.

        Returns:
            Whether they were moved.
        """
        if not self._movable or tf.config.list_physical_devices("GPU"):
            return False
        if self._placement is None:
            self._placement = Placement(self.model, self.optimizers, self._strategy)
        try:
            self._placement.draw()
        except Exception as error:  # noqa: BLE001 - a foreign variable; it can be measured in place
            print(f"variables stay where they are: {short_error(error)}", flush=True)
            self._movable = False
            return False
        return True

    def fit_block(self, step_ns: float) -> None:
        """Let a block last 20 ms or more, where a step takes so many nanoseconds."""
        self.block_steps = self.whole_cycles(block_steps(step_ns))

    def profile(self, n_steps: int) -> list[Block]:
        """Run at least `n_steps` steps, each whole cycle marked for the profiler as one step.

        What a cycle does once stands in every mark, so that a median over them finds it.
        """
        marks = n_steps if self.cycle == 1 else max(_LEAST_MARKS, math.ceil(n_steps / self.cycle))
        blocks = []
        for number in range(marks):
            with tf.profiler.experimental.Trace("train", step_num=number, _r=1):
                blocks.append(self.run(self.cycle))
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
    if tf.is_tensor(value) and value.dtype == tf.bfloat16:  # NumPy makes no array of one number
        value = tf.cast(value, tf.float32)
    return float(np.mean(keras.ops.convert_to_numpy(value), dtype=np.float64))
