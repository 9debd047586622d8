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
    flat = keras.tree.flatten_with_path(given)
    if not flat or not all(_is_dense(value) for _, value in flat):
        return None
    return keras.tree.pack_sequence_as(given, [_tensor(path, value) for path, value in flat])


def _is_dense(value: Any) -> bool:
    shape = getattr(value, "shape", None)
    ragged_or_sparse = hasattr(value, "row_splits") or hasattr(value, "dense_shape")
    return hasattr(value, "dtype") and not ragged_or_sparse and bool(_sizes(shape))


def _sizes(shape: Any) -> tuple[int | None, ...]:
    """Sizes of a shape; none where it has no axis, or is not known."""
    return () if shape is None or getattr(shape, "rank", 1) is None else tuple(shape)


def _tensor(path: tuple[Any, ...], value: Any) -> keras.KerasTensor:
    dtype = _dtype(value.dtype)
    if "float" in dtype:
        dtype = keras.config.floatx()  # as a layer casts what it is given
    name = path[-1] if path and isinstance(path[-1], str) else None
    return keras.KerasTensor((None, *_sizes(value.shape)[1:]), dtype=dtype, name=name)


def _dtype(given: Any) -> str:
    if getattr(given, "kind", "") in ("O", "S", "T", "U"):  # NumPy's kinds of text
        return "string"
    return str(keras.backend.standardize_dtype(given))
