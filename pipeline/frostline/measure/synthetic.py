"""Synthetic batches, drawn once from a seed and resident on the device.

In: a compiled model whose inputs and outputs are known; a subclassed one is known once it was built
or called. Out: inputs and targets in the structures that it takes and gives. Integers stay inside
the vocabulary of what they are looked up in, and targets suit the loss. A mask hides nothing.
Refuses (TrialError, stage `build`) what cannot be known: sizes beyond the batch, what strings say,
how long the rows of ragged inputs are; the study has to give `data` then.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from frostline.errors import TrialError
from frostline.measure.called_with import called_with
from frostline.measure.id_ranges import UnknownIdsError, id_ranges
from frostline.measure.targets import draw_target, losses_of

GIVE_DATA = (
    "give the model entry `data`, a callable (model, batch_size) that returns a tf.data.Dataset"
)

_MOST_AXES_OF_IDS = 3

_MASK = re.compile(r"(?<![a-z])mask(?![a-z])")
"""In the name of an input that says which positions count; all of them do."""

_NONZERO = 0.1
"""Share of the entries of a sparse input that are not zero."""


def needs_data(why: str, *, rather: str = "") -> TrialError:
    """The error of a model that synthetic batches do not suit; `why` and `rather` are clauses."""
    instead = f"{rather}, or " if rather else ""
    return TrialError("build", "NeedsData", f"{why}: {instead}{GIVE_DATA}")


def synthetic_batch(model: keras.Model, batch_size: int, *, seed: int) -> tuple[Any, Any]:
    """Inputs and targets of one batch.

    Raises:
        TrialError: they cannot be known.
    """
    rng = np.random.default_rng(seed)
    inputs, outputs = _structures(model)
    flat = keras.tree.flatten(inputs)
    shapes = [_shape(tensor, batch_size, "input") for tensor in flat]
    ids = _ids(model, inputs, shapes)
    device = "/GPU:0" if tf.config.list_logical_devices("GPU") else "/CPU:0"
    with tf.device(device):
        drawn = [
            _draw_input(rng, tensor, shape, of_ids)
            for tensor, shape, of_ids in zip(flat, shapes, ids, strict=True)
        ]
        x = keras.tree.pack_sequence_as(inputs, drawn)
        targets = [
            draw_target(rng, _shape(tensor, batch_size, "output"), loss, name=_name(tensor))
            for tensor, loss in zip(
                keras.tree.flatten(outputs), losses_of(model, outputs), strict=True
            )
        ]
        y = keras.tree.pack_sequence_as(outputs, targets)
    return x, y


def _structures(model: keras.Model) -> tuple[Any, Any]:
    if (known := _symbolic(model)) is not None:
        return known
    if (inputs := _built_with(model)) is not None:
        with contextlib.suppress(Exception):  # foreign code; it may take something else than floats
            return inputs, model.compute_output_spec(inputs)
    raise needs_data(
        f"{type(model).__name__} is a subclassed model, whose inputs are not known before it is "
        "called"
    )


def _symbolic(model: keras.Model) -> tuple[Any, Any] | None:
    """Inputs and outputs of a model made of Keras tensors; None for a subclassed one."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0], model.outputs[0]
    with contextlib.suppress(AttributeError):  # what a subclassed model says for "unknown"
        return model.input, model.output
    return None


def assumed(model: keras.Model) -> str | None:
    """What synthetic inputs assume of a subclassed model, in words; None where all is known."""
    if _symbolic(model) is not None or (inputs := _built_with(model)) is None:
        return None
    shown = ", ".join(_batch_of(tensor) for tensor in keras.tree.flatten(inputs))
    return (
        f"its synthetic inputs have the shape that it was built with, {shown}; they are ids where "
        f"they are looked up in a table. If it takes anything else, {GIVE_DATA}"
    )


def _built_with(model: keras.Model) -> Any:
    """What a model was called with, or built for, that takes one argument; else None."""
    if (called := called_with(model)) is not None:
        return called
    shapes = getattr(model, "_build_shapes_dict", None) if model.built else None
    if not shapes or len(shapes) != 1:
        return None
    return keras.tree.map_shape_structure(_of_any_batch, next(iter(shapes.values())))


def _of_any_batch(shape: Sequence[int | None]) -> keras.KerasTensor:
    return keras.KerasTensor((None, *shape[1:]), dtype=keras.config.floatx())


def _batch_of(tensor: keras.KerasTensor) -> str:
    sizes = ["batch", *("?" if size is None else str(size) for size in tensor.shape[1:])]
    return f"({', '.join(sizes)}) in {tensor.dtype}"


def _name(tensor: Any) -> str:
    return str(getattr(tensor, "name", "") or "")


def _called(tensor: Any, what: str) -> str:
    """`input 'tokens'`; without the names that Keras makes up, which say nothing."""
    name = _name(tensor)
    return f"an {what} of the model" if name.startswith("keras_tensor") else f"{what} {name!r}"


def _shape(tensor: Any, batch_size: int, what: str) -> tuple[int, ...]:
    first, *rest = tuple(tensor.shape) or (None,)
    if getattr(tensor, "ragged", False):
        raise needs_data(f"{_called(tensor, what)} is ragged, and its rows may have any length")
    if any(size is None for size in rest):
        shown = ", ".join("?" if size is None else str(size) for size in rest)
        raise needs_data(
            f"{_called(tensor, what)} has the shape (batch, {shown}), of which a size is open",
            rather="fix it in the builder's kwargs",
        )
    if first is not None and first != batch_size and what == "input":
        raise TrialError(
            "build",
            "FixedBatch",
            f"{_called(tensor, 'input')} takes batches of {first} only, and the study asks for "
            f"{batch_size}: write batch_size = [{first}] under [train]",
        )
    return (batch_size, *rest)


def _ids(
    model: keras.Model, inputs: Any, shapes: list[tuple[int, ...]]
) -> tuple[range | None, ...]:
    """The ids of each input, from one trace of the forward pass."""
    flat = keras.tree.flatten(inputs)
    for tensor in flat:
        if keras.backend.standardize_dtype(tensor.dtype) == "string":
            raise needs_data(
                f"{_called(tensor, 'input')} takes strings, and what they say is unknown"
            )
    specs = [
        tf.SparseTensorSpec(shape, tensor.dtype)
        if getattr(tensor, "sparse", False)
        else tf.TensorSpec(shape, tensor.dtype)
        for tensor, shape in zip(flat, shapes, strict=True)
    ]
    if not any(_may_be_ids(spec) for spec in specs) or any(
        isinstance(spec, tf.SparseTensorSpec) for spec in specs
    ):
        return (None,) * len(specs)

    def forward(*given: Any) -> Any:
        return model(keras.tree.pack_sequence_as(inputs, given))

    try:
        return id_ranges(forward, specs)
    except UnknownIdsError as error:
        raise needs_data(f"the inputs of {model.name!r} are ids, but {error}") from error


def _may_be_ids(spec: Any) -> bool:
    """Integers, and numbers in rows; images and the like are no ids."""
    return bool(spec.dtype.is_integer) or len(spec.shape) <= _MOST_AXES_OF_IDS


def _draw_input(
    rng: np.random.Generator, tensor: Any, shape: tuple[int, ...], ids: range | None
) -> Any:
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    value: np.ndarray
    if ids is not None:
        value = rng.integers(ids.start, ids.stop, shape)
    elif _MASK.search(_name(tensor).lower()):
        value = np.ones(shape)  # a row of nothing but padding makes an attention nan in float16
    elif dtype == "bool":
        value = rng.integers(0, 2, shape)
    elif dtype == "uint8":
        value = rng.integers(0, 256, shape)  # as pixels are
    elif "int" in dtype:
        value = rng.integers(0, 2, shape)
    else:
        value = rng.standard_normal(shape, dtype=np.float32)
    if getattr(tensor, "sparse", False):
        value = np.where(rng.random(shape) < _NONZERO, value, 0)
        return tf.sparse.from_dense(tf.constant(value.astype(dtype)))
    return tf.constant(value.astype(bool) if dtype == "bool" else value, dtype=dtype)
