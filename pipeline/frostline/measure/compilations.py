"""How often the training step of a model was compiled.

In: a model that has stepped. Out: a number, or None where its step is not a compiled function of
Keras's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import Any

import keras

_DEEP = 3  # Keras wraps the function of one step once, and that of a loop over steps around it


def step_traces(model: keras.Model) -> int | None:
    """How often TensorFlow traced, and so compiled, a model's training step.

    Keras's `train_function` is a plain function around compiled ones: of one step, and of a loop
    over steps. Which of them runs depends on what feeds it; the one that runs was traced.
    """
    counts = [int(count()) for count in _counters(model.train_function, _DEEP)]
    return max(counts, default=None)


def _counters(function: Any, deep: int) -> Iterator[Any]:
    """The counters of the compiled functions that a plain one holds."""
    if not isinstance(function, FunctionType) or not deep:
        return
    for cell in function.__closure__ or ():
        try:
            held = cell.cell_contents
        except ValueError:  # a name that has no value yet
            continue
        counter = getattr(held, "experimental_get_tracing_count", None)
        if counter is not None:
            yield counter
        yield from _counters(held, deep - 1)
