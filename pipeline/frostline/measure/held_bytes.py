"""Bytes that a model holds before a step runs: its weights, its optimizer's slots, its batch.

In: a compiled model with built state, and a batch. Out: `HeldBytes`, in bytes, exact: from shapes
and types, not from an allocator.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from frostline.measure.messages import HeldBytes


def held_bytes(model: keras.Model, batch: Any, optimizers: Iterable[keras.Optimizer]) -> HeldBytes:
    """Count what a model holds.

    Args:
        model: compiled, with its state.
        batch: a batch, or what stands for one.
        optimizers: those that its step applies.
    """
    return HeldBytes(
        weights=_bytes(model.weights),
        optimizer_slots=_bytes(each for one in optimizers for each in one.variables),
        batch=_batch_bytes(batch),
    )


def _bytes(variables: Iterable[keras.Variable]) -> int:
    """Each variable once."""
    found = {
        id(each): math.prod(map(int, each.shape)) * int(tf.as_dtype(each.dtype).size)
        for each in variables
    }
    return sum(found.values())


def _batch_bytes(batch: Any) -> int | None:
    total = 0
    for part in tf.nest.flatten(batch):
        shape = getattr(part, "shape", None)
        if shape is None or part.dtype == tf.string or not tf.TensorShape(shape).is_fully_defined():
            return None
        total += math.prod(tf.TensorShape(shape).as_list()) * int(part.dtype.size)
    return total
