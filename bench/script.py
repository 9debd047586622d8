"""The script that people write: one configuration, timed through `fit`, with a profile.

    python bench/script.py MODULE:FUNCTION KWARGS_JSON LAYERS_JSON --batch N --steps N --logs DIR

As the guides show it (https://www.tensorflow.org/guide/keras/transfer_learning and
https://www.tensorflow.org/tensorboard/tensorboard_profiling_keras): build, set `trainable` of the
layers, compile, `fit` with the TensorBoard callback's `profile_batch`, median time of a step, and
the profile's table of ops. No part of the program. Prints one line of JSON: seconds of each step
outside the profile, and how many ops the table has. `bench/against_script.py` runs it, in a new
process for each configuration.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from pathlib import Path

WARM_UP = 5
PROFILED = 5


def main() -> None:
    """Time one configuration."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("builder")
    parser.add_argument("kwargs", type=json.loads)
    parser.add_argument("layers", type=json.loads, help="names of the layers to freeze")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--logs", required=True)
    asked = parser.parse_args()

    import keras
    import numpy as np

    module, name = asked.builder.split(":")
    model = getattr(importlib.import_module(module), name)(**asked.kwargs)
    for layer in asked.layers:
        model.get_layer(layer).trainable = False
    if asked.layers or getattr(model, "optimizer", None) is None:
        loss = getattr(model, "loss", None) or "sparse_categorical_crossentropy"
        model.compile(optimizer="adam", loss=loss)
    rng = np.random.default_rng(0)
    x = rng.random((asked.batch, *model.input_shape[1:]), dtype=np.float32)
    y = rng.integers(0, model.output_shape[-1], asked.batch)
    if model.loss == "categorical_crossentropy":
        y = keras.utils.to_categorical(y, model.output_shape[-1])

    seconds = _Steps()
    board = keras.callbacks.TensorBoard(
        asked.logs, profile_batch=(WARM_UP + 1, WARM_UP + PROFILED), write_graph=False
    )
    count = WARM_UP + PROFILED + asked.steps
    repeated = np.repeat(x[None], count, axis=0).reshape(-1, *x.shape[1:])
    targets = np.repeat(y[None], count, axis=0).reshape(-1, *y.shape[1:])
    model.fit(
        repeated, targets, batch_size=asked.batch, shuffle=False, verbose=0,
        callbacks=[board, seconds.callback()],
    )  # fmt: skip

    from xprof.convert import raw_to_tool_data

    traces = [str(path) for path in Path(asked.logs).rglob("*.xplane.pb")]
    table, _ = raw_to_tool_data.xspace_to_tool_data(traces, "framework_op_stats", {})
    ops = len(json.loads(table)[1]["rows"])
    print("ANSWER " + json.dumps({"seconds": seconds.found[WARM_UP + PROFILED :], "ops": ops}))


class _Steps:
    """The time of every step, between the ends of batches."""

    def __init__(self) -> None:
        self.found: list[float] = []
        self._last: float | None = None

    def callback(self) -> object:
        import keras

        def ended(batch: int, logs: object) -> None:
            now = time.perf_counter()
            if self._last is not None:
                self.found.append(now - self._last)
            self._last = now

        def began(batch: int, logs: object) -> None:
            if self._last is None:
                self._last = time.perf_counter()

        return keras.callbacks.LambdaCallback(on_train_batch_begin=began, on_train_batch_end=ended)


if __name__ == "__main__":
    main()
