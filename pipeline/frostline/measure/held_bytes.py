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


def held_bytes(model: keras.Model, batch: Any) -> HeldBytes:
    """Count what a model holds; `batch` is a batch, or what stands for one."""
    optimizer = model.optimizer
    return HeldBytes(
        weights=_bytes(model.weights),
        optimizer_slots=_bytes(optimizer.variables) if optimizer is not None else 0,
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
