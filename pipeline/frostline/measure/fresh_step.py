"""A training function made anew, so that a step which the builder compiled is never measured.

A builder that trains its model (`fit`, `train_on_batch`) leaves functions behind that were traced
for what trained then: Keras keeps `train_function` until the model is compiled again, and a
`tf.function` of the user's keeps what it traced. Call `fresh_train_function` once everything that
should be frozen is. Functions are looked for where steps are written: methods and attributes of
the model and its layers, closures of the model's methods, names of the module that defines it. One
that lies elsewhere keeps its traces; the freeze check finds that out.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

_Function = type(tf.function(lambda: None))
_LIBRARIES = ("keras", "tensorflow", "builtins")


def fresh_train_function(model: keras.Model) -> None:
    """Make `model.train_function` anew, as the next `fit` of a newly compiled model would."""
    for layer in model._flatten_layers():
        for function in _functions(_held_by(type(layer))):
            with contextlib.suppress(AttributeError, TypeError):  # as TensorFlow keeps it today
                function._descriptor_cache.pop(layer, None)
        forget_traces(vars(layer).values())
    for kind in _own_classes(model):
        forget_traces(_in_closures(kind))
        forget_traces(vars(sys.modules[kind.__module__]).values())
    model.train_function = model.test_function = model.predict_function = None
    parameters = inspect.signature(model.make_train_function).parameters
    # A model that overrides it need not take `force`; with nothing there it makes one either way.
    model.make_train_function(**({"force": True} if "force" in parameters else {}))


def forget_traces(values: Iterable[Any]) -> None:
    """Let every `tf.function` among these be traced again at its next call.

    What has been traced with them goes on working where it is part of another function.
    """
    for function in _functions(values):
        vars(function).update(vars(function._clone(None)))


def _functions(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, _Function)]


def _held_by(kind: type) -> Iterator[Any]:
    for each in kind.__mro__:
        yield from vars(each).values()


def _own_classes(model: keras.Model) -> Iterator[type]:
    """The classes of a model that no library defines."""
    for kind in type(model).__mro__:
        if kind.__module__.partition(".")[0] not in _LIBRARIES and kind.__module__ in sys.modules:
            yield kind


def _in_closures(kind: type) -> Iterator[Any]:
    """What the methods of a class that was defined in a function refer to."""
    for method in vars(kind).values():
        for cell in getattr(method, "__closure__", None) or ():
            with contextlib.suppress(ValueError):  # a name that has no value yet
                yield cell.cell_contents
