"""A training function made anew, so that a step which the builder compiled is never measured.

A builder that trains its model (`fit`, `train_on_batch`) leaves functions behind that were traced
for what trained then: Keras keeps `train_function` until the model is compiled again, and a
`tf.function` of the user's keeps what it traced. Call `fresh_train_function` once everything that
should be frozen is.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

_Function = type(tf.function(lambda: None))


def fresh_train_function(model: keras.Model) -> None:
    """Make `model.train_function` anew, as the next `fit` of a newly compiled model would."""
    for layer in model._flatten_layers():
        _forget_traces(layer)
    model.train_function = model.test_function = model.predict_function = None
    parameters = inspect.signature(model.make_train_function).parameters
    # A model that overrides it need not take `force`; with nothing there it makes one either way.
    model.make_train_function(**({"force": True} if "force" in parameters else {}))


def _forget_traces(layer: keras.Layer) -> None:
    """Let the functions that a layer has as methods or attributes be traced again."""
    for function in _methods(type(layer)):
        with contextlib.suppress(AttributeError, TypeError):  # as TensorFlow keeps it today
            function._descriptor_cache.pop(layer, None)
    for name, value in list(vars(layer).items()):
        if isinstance(value, _Function):
            vars(layer)[name] = value._clone(None)


def _methods(kind: type) -> Iterator[Any]:
    for each in kind.__mro__:
        yield from (value for value in vars(each).values() if isinstance(value, _Function))
