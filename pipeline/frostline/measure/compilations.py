"""How often the training step of a model was compiled.

In: a model that has stepped. Out: a number, or None where its step is not a compiled function of
Keras's own.
"""

from __future__ import annotations

import keras


def step_traces(model: keras.Model) -> int | None:
    """How often TensorFlow traced, and so compiled, a model's training step.

    Keras's `train_function` is a plain function around a compiled one.
    """
    cells = getattr(model.train_function, "__closure__", None) or ()
    counts = [
        int(counted())
        for counted in (
            getattr(cell.cell_contents, "experimental_get_tracing_count", None) for cell in cells
        )
        if counted is not None
    ]
    return max(counts, default=None)
