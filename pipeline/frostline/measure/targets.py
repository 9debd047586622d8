"""Targets that suit a loss: one-hot or an index, in {0, 1} or any number.

In: the shape of an output and its loss. Out: a tensor of targets. For Keras's own losses a table
says what they take. What another loss takes shows when it is traced: targets that are looked up, or
fed into one-hot, are indices. Refuses (TrialError, stage `build`) a loss for which nothing fits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from frostline.errors import TrialError
from frostline.measure.id_ranges import UnknownIdsError, id_ranges

_ONE_HOT = ("categorical_crossentropy", "categorical_focal_crossentropy", "kl_divergence")
_CLASS_INDEX = ("sparse_categorical_crossentropy", "categorical_generalized_cross_entropy")
_BINARY = ("binary_crossentropy", "binary_focal_crossentropy", "dice", "tversky")
_SIGNED = ("hinge", "squared_hinge", "categorical_hinge")

_TRIED_EXAMPLES = (5, 7, 11, 13, 17, 19)
"""Batch sizes to try a loss with: one that no other size of the output is, so that targets of the
wrong shape are not broadcast by accident."""


def losses_of(model: keras.Model, outputs: Any) -> list[Any]:
    """The loss of each output, in the flat order of the output structure; None where it has none.

    A loss is a Keras identifier, a `keras.losses.Loss` or a callable (targets, outputs).
    """
    flat = keras.tree.flatten(outputs)
    loss = getattr(model, "loss", None)
    if isinstance(loss, dict):
        names = list(getattr(model, "output_names", [])) or sorted(loss)
        keys = sorted(outputs) if isinstance(outputs, dict) else names
        return [loss.get(key) for key in keys]
    if isinstance(loss, (list, tuple)):
        return list(keras.tree.flatten(loss))
    return [loss] * len(flat)


def draw_target(
    rng: np.random.Generator, shape: tuple[int, ...], loss: Any, *, name: str = ""
) -> tf.Tensor:
    """Targets for an output of this shape.

    Args:
        rng: source of the draw.
        shape: of the output, the batch first.
        loss: as in `losses_of`.
        name: the output's, for messages.

    Raises:
        TrialError: no targets were found that the loss takes.
    """
    found = keras.losses.get(loss) if isinstance(loss, str) else loss
    if found is None or _is_kerass_own(found):
        return _by_name(rng, shape, _loss_name(found))
    return _as_traced(rng, shape, found, name)


def _is_kerass_own(loss: Any) -> bool:
    origin = type(loss) if isinstance(loss, keras.losses.Loss) else loss
    return str(getattr(origin, "__module__", "")).startswith("keras.src.losses")


def _loss_name(loss: Any) -> str:
    """Keras identifier of one of its losses in snake case, whatever name it was given; "": none."""
    if isinstance(loss, keras.losses.Loss):
        function = getattr(loss, "fn", None)
        loss = function if function is not None else type(loss)
    name = str(getattr(loss, "__name__", ""))
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _by_name(rng: np.random.Generator, shape: tuple[int, ...], loss: str) -> tf.Tensor:
    if loss in _CLASS_INDEX:
        return tf.constant(rng.integers(0, shape[-1], shape[:-1]), dtype=tf.int32)
    if loss == "ctc" and len(shape) == 3:  # labels are shorter than the output, and 0 is blank
        examples, steps, classes = shape
        return tf.constant(rng.integers(1, classes, (examples, max(1, steps // 3))), dtype=tf.int32)
    if loss in _ONE_HOT:
        return tf.one_hot(rng.integers(0, shape[-1], shape[:-1]), shape[-1])
    if loss in _BINARY:
        return tf.constant(rng.integers(0, 2, shape), dtype=tf.float32)
    if loss in _SIGNED:
        return tf.constant(2 * rng.integers(0, 2, shape) - 1, dtype=tf.float32)
    # In [0, 1): valid for squared, absolute, logarithmic and Poisson losses alike.
    return tf.constant(rng.random(shape, dtype=np.float32))


def _as_traced(
    rng: np.random.Generator, shape: tuple[int, ...], loss: Callable[..., Any], name: str
) -> tf.Tensor:
    """Targets of the output's shape, or without its last size where they are indices of it."""
    examples = next((n for n in _TRIED_EXAMPLES if n not in shape[1:]), _TRIED_EXAMPLES[-1])
    tried = [
        (tail, ids)
        for tail in _tails(shape[1:])
        for ids in _accepted(loss, (examples, *tail), (examples, *shape[1:]))
    ]
    if not tried:
        what = getattr(loss, "__name__", type(loss).__name__)
        of = f" of output {name!r}" if name else ""
        raise TrialError(
            "build",
            "NeedsData",
            f"what targets the loss `{what}`{of} takes is not known: give the model entry `data`, "
            "a callable (model, batch_size) that returns a tf.data.Dataset of (inputs, targets)",
        )
    # Indices have no axis of classes; a loss may take them with one and compute nonsense.
    misled = tried[0][1] is not None and tried[0][0] == shape[1:] and shape[-1] > 1
    tail, ids = tried[1] if misled and len(tried) > 1 else tried[0]
    size = (shape[0], *tail)
    if ids is None:
        return tf.constant(rng.random(size, dtype=np.float32))
    return tf.constant(rng.integers(ids.start, ids.stop, size), dtype=tf.int32)


def _tails(output: tuple[int, ...]) -> list[tuple[int, ...]]:
    return list(dict.fromkeys([output, output[:-1], (*output[:-1], 1)]))


def _accepted(
    loss: Callable[..., Any], targets: tuple[int, ...], output: tuple[int, ...]
) -> Iterator[range | None]:
    """The ids that targets of this shape hold, or None for plain numbers; nothing if refused."""
    spec = tf.TensorSpec(targets, tf.float32)
    logits = tf.random.stateless_uniform(output, seed=(0, 1))
    predicted = logits / tf.reduce_sum(logits, axis=-1, keepdims=True)
    called = loss if isinstance(loss, keras.losses.Loss) else _Wrapped(loss)
    try:
        (ids,) = id_ranges(lambda given: called(given, predicted), [spec])
        first = 0.5 if ids is None else ids.start
        value = called(tf.fill(targets, float(first)), predicted)
    except UnknownIdsError:
        return
    except Exception:  # noqa: BLE001 - foreign code; it refuses targets of this shape
        return
    if np.all(np.isfinite(keras.ops.convert_to_numpy(value))):
        yield ids


class _Wrapped(keras.losses.Loss):  # type: ignore[misc]  # Keras has no types
    """A callable as `compile` wraps it: targets arrive in the type of the outputs."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(name="wrapped")
        self._function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self._function(y_true, y_pred)
