"""Training as a user would write it: Keras's own `fit`, layers frozen by hand, a clock.

Only names of layers and synthetic batches come from the program, so that both train the same.
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
        self._paths: dict[str, Any] | None = None

    def freeze(self, frozen: Collection[str]) -> None:
        """Freeze these variables and let the others train, and compile again, as Keras asks for."""
        from frostline.measure.layers import owned_layers

        if self._paths is None:
            owned = owned_layers(self.model)
            self._paths = {each.path: each.variable for one in owned for each in one.variables}
        for path, variable in self._paths.items():
            variable.trainable = path not in frozen
        optimizer = type(self.model.optimizer).from_config(self.model.optimizer.get_config())
        self.model.compile(
            optimizer=optimizer, loss=self.model.loss, jit_compile=self.model.jit_compile
        )

    def seconds(self, steps: int) -> float:
        """Wall time of one epoch of `fit`."""
        start = time.perf_counter()
        self.model.fit(self.data, steps_per_epoch=steps, shuffle=False, verbose=0)
        return time.perf_counter() - start
