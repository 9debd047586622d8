"""What an arm's model holds by its first step: its own variables, those of optimizers and metrics.

In: the model, and the batches it will be fed. They are built before the step is traced, in the
order in which they are needed: layers are named and frozen by their variables, an optimizer makes
slots for what trains. What cannot be built ahead is left to the first step, which says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import keras
import tensorflow as tf

from frostline.measure.build import unbuilt
from frostline.measure.graph.wrapped_methods import without_updates
from frostline.measure.short_error import short_error
from frostline.measure.variants import vary
from frostline.variant import Variant

Result = TypeVar("Result")

_UNKNOWN_TO_OPTIMIZER = "Unknown variable"  # as Keras says it


class FirstState:
    """Builds the state of a model that is to be stepped."""

    def __init__(
        self,
        model: keras.Model,
        batches: Iterator[Any],
        strategy: tf.distribute.Strategy,
        *,
        variant: Variant | None = None,
    ) -> None:
        """Nothing is built yet.

        Args:
            model: the plain model, compiled.
            batches: what its train function takes.
            strategy: that it was built under.
            variant: what `build_variables` makes of the model.
        """
        self._model = model
        self._batches = batches
        self._strategy = strategy
        self._variant = variant
        self._built_ahead = False

    def build_variables(self) -> tuple[str, ...]:
        """Give a subclassed model its variables, and make a variant of a model that is to be one.

        Layers are named and frozen before the first step, so the variables are needed by then, and
        a subclassed model has them only once it has been called, even if it says that it is built:
        of a shape alone, Keras makes none. What the model's `call` does not
        reach, or a model without one, gets them from a training step that is traced and never run.
        So does a model that cannot be called on the first part of a batch, where the training step
        is its own and may take the batch as a whole (three images, for instance).

        Returns:
            Warnings about the variant.

        Raises:
            TrialError: it cannot be made a variant.
        """
        model = self._model
        layers = model._flatten_layers(include_self=False)
        if type(model).call is not keras.Model.call and not _all_built(model, *layers):
            batch = self._of_one_device(next(self._batches))
            inputs = batch[0] if isinstance(batch, tuple) else batch
            try:
                with self._strategy.scope():
                    model(inputs)
            except Exception as error:
                if type(model).train_step is keras.Model.train_step:
                    raise
                print(f"the model is not called on a batch: {short_error(error)}", flush=True)
        if not _all_built(*model._flatten_layers(include_self=False)):
            try:
                with self._strategy.scope(), without_updates():
                    _trace_step(model, next(self._batches), self._strategy)
            except Exception as error:  # noqa: BLE001 - foreign code; the first step will say
                print(f"variables are built in the first step: {short_error(error)}", flush=True)
        variant, self._variant = self._variant, None
        if variant is None:
            return ()
        with self._strategy.scope():
            return vary(model, variant)

    def build(self) -> None:
        """Create metric and optimizer variables before the step is traced.

        As `fit` does under a strategy. Without it the first call creates them while tracing, and
        TensorFlow traces the whole step a second time. A model whose state cannot be built
        symbolically (a custom train step, for instance) is left to pay for that.
        """
        if self._model.optimizer is not None and not self._model.optimizer.built:
            with self._strategy.scope():
                self._model.optimizer.build(self._model.trainable_variables)
            self._built_ahead = True
        batch = self.looks_like()
        try:
            with self._strategy.scope():
                self._model._symbolic_build(data_batch=batch)
        except (ValueError, TypeError, RuntimeError, AttributeError) as error:
            print(f"state is built during the first step: {short_error(error)}", flush=True)

    def first(self, step: Callable[[], Result]) -> Result:
        """What `step` returns, which makes the training function and calls or traces it.

        A step may apply the model's optimizer to variables that are not the model's, and an
        optimizer refuses those that it was not built for. It is then called once more with an
        optimizer that is not built yet.
        """
        try:
            return step()
        except ValueError as error:
            if not (self._built_ahead and _UNKNOWN_TO_OPTIMIZER in str(error)):
                raise
        self._take_back_slots()
        return step()

    def keep_slots_of(self, applied: Sequence[keras.Optimizer]) -> None:
        """Give up the slots of the model's own optimizer where the step applies others."""
        if self._built_ahead and leaves_out(applied, self._model.optimizer):
            self._take_back_slots()

    def looks_like(self) -> Any:
        """What a batch on one device looks like; takes none where a pipeline tells its shape."""
        spec = getattr(self._batches, "element_spec", None)
        if spec is None:
            return next(self._batches)
        if not isinstance(self._strategy, tf.distribute.MirroredStrategy):
            return spec
        return self._of_one_device(next(self._batches))

    def _of_one_device(self, batch: Any) -> Any:
        """The part of a batch that the first device gets."""
        parts = self._strategy.experimental_local_results
        return tf.nest.map_structure(lambda value: parts(value)[0], batch)

    def _take_back_slots(self) -> None:
        self._built_ahead = False
        with self._strategy.scope():
            self._model.optimizer = unbuilt(self._model.optimizer)


def leaves_out(applied: Sequence[keras.Optimizer], own: keras.Optimizer) -> bool:
    """Whether a step applies optimizers, and this one is none of them."""
    return bool(applied) and all(own is not each for each in applied)


def _trace_step(model: keras.Model, batch: Any, strategy: tf.distribute.Strategy) -> Any:
    """The function that a model's training step on a batch is traced into; nothing is run."""

    def step(data: Any) -> Any:
        return strategy.run(model.train_step, args=(data,))

    return tf.function(step, autograph=False).get_concrete_function(batch)


def _all_built(*layers: keras.Layer) -> bool:
    return all(layer.built for layer in layers)
