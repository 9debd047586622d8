"""Training as a user would write it: Keras's own `fit` and a clock.

How layers are frozen and synthetic batches come from the program, so that both train the same.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from frostline.trial import ModelSpec, Setting


class PlainRun:
    """A model that is fitted on one batch over and over."""

    def __init__(self, spec: ModelSpec, setting: Setting) -> None:
        import tensorflow as tf

        from frostline.measure.batches import first_batch
        from frostline.measure.build import build

        self.model: Any = build(spec, setting, seed=0)[0]
        self.batch: Any = first_batch(self.model, spec, setting, seed=0)
        self.data: Any = tf.data.Dataset.from_tensors(self.batch).repeat()
        self._layers: list[Any] | None = None

    def freeze(self, frozen: Collection[str]) -> None:
        """Freeze these variables and let the others train, and compile again, as Keras asks for."""
        from frostline.measure.layers import freeze, owned_layers

        if self._layers is None:
            self._layers = [each.layer for each in owned_layers(self.model) if each.variables]
        for layer in self._layers:
            layer.trainable = True
        freeze(self.model, frozen)
        optimizer = type(self.model.optimizer).from_config(self.model.optimizer.get_config())
        self.model.compile(
            optimizer=optimizer, loss=self.model.loss, jit_compile=self.model.jit_compile
        )

    def seconds(self, steps: int) -> float:
        """Wall time of one epoch of `fit`."""
        return fit_seconds(self.model, self.data, steps)


def fit_seconds(model: Any, data: Any, steps: int) -> float:
    """Wall time of `fit` over so many batches, until training has ended.

    What comes after is not counted. TensorFlow 2.21 takes down the input pipeline when `fit`
    returns, and that waits for a thread of tf.data which sleeps for 10 ms, 20 ms, 40 ms and so on:
    `fit` as a whole takes 2.56, 5.12 or 10.24 s and nothing in between, once, however many epochs
    it runs.
    """
    import keras

    ended: list[float] = []
    last = keras.callbacks.LambdaCallback(
        on_train_end=lambda logs: ended.append(time.perf_counter())
    )
    start = time.perf_counter()
    model.fit(data, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=[last])
    return ended[0] - start
