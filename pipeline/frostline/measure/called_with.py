"""What a builder called its model with, which says what a subclassed model takes.

In: a builder that runs inside `remembered_calls`. Out: per model, the structure of its first call
as Keras tensors of an open batch size, named after their keys. A call with several arguments, or
with what is neither a dense tensor nor an array, says nothing.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from frostline.measure.graph.wrapped_methods import wrapped

_calls: weakref.WeakKeyDictionary[keras.Model, Any] = weakref.WeakKeyDictionary()


@contextmanager
def remembered_calls() -> Iterator[None]:
    """Remember what models are called with inside the block."""

    def watching(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(layer: keras.Layer, /, *args: Any, **kwargs: Any) -> Any:
            """The layer's own call."""
            result = original(layer, *args, **kwargs)
            if isinstance(layer, keras.Model) and layer not in _calls:
                taken = _tensors(args[0]) if len(args) == 1 else None
                if taken is not None:
                    _calls[layer] = taken
            return result

        return call

    with wrapped(keras.Layer, "__call__", watching):
        yield


def called_with(model: keras.Model) -> Any:
    """The structure of a model's first call, a `keras.KerasTensor` each; None where not known."""
    return _calls.get(model)


def _tensors(given: Any) -> Any:
    """A call's argument as Keras tensors; None where some part of it cannot be one."""
    tensors = [_tensor(path, value) for path, value in keras.tree.flatten_with_path(given)]
    if not tensors or any(tensor is None for tensor in tensors):
        return None
    return keras.tree.pack_sequence_as(given, tensors)


def _tensor(path: tuple[Any, ...], value: Any) -> keras.KerasTensor | None:
    if isinstance(value, tf.RaggedTensor | tf.SparseTensor):
        return None
    try:
        sizes, dtype = tuple(value.shape), _dtype(value.dtype)
    except (AttributeError, TypeError, ValueError):  # no tensor, no known rank, a foreign type
        return None
    if not sizes:
        return None
    if "float" in dtype:
        dtype = keras.config.floatx()  # as a layer casts what it is given
    name = path[-1] if path and isinstance(path[-1], str) else None
    return keras.KerasTensor((None, *sizes[1:]), dtype=dtype, name=name)


def _dtype(given: Any) -> str:
    if getattr(given, "kind", "") in ("O", "S", "T", "U"):  # NumPy's kinds of text
        return "string"
    return str(keras.backend.standardize_dtype(given))
