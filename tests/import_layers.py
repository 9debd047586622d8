"""A builder whose module makes a layer at import, and nothing else."""

from __future__ import annotations

from typing import Any

import keras

augmentation = keras.Sequential([keras.layers.RandomFlip()])


def augmented() -> Any:
    """The module's layer, and a head."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(augmentation(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, name="head")(x))
    model.compile("adam", "mse")
    return model
