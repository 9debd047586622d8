"""Methods of Keras and TensorFlow, replaced inside of a block and put back whatever happens.

In: a class, a method's name and what to call instead. Out: a context. Autograph passes over what is
called instead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

import keras
from tensorflow.python.autograph.impl.api import autograph_artifact


@contextmanager
def wrapped(
    holder: type | ModuleType, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Replace a method of a class, or a function of a module, by what `wrap` makes of it."""
    original = holder.__dict__[name]
    setattr(holder, name, autograph_artifact(wrap(original)))
    try:
        yield
    finally:
        setattr(holder, name, original)


@contextmanager
def without_updates() -> Iterator[None]:
    """Let optimizers do nothing inside the block, so that a step makes no variables of theirs."""

    def idle(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def apply(*args: Any, **kwargs: Any) -> None:
            """Does nothing."""

        return apply

    with ExitStack() as stack:
        for kind in optimizer_classes():
            stack.enter_context(wrapped(kind, "apply", idle))
        yield


def optimizer_classes() -> Iterator[type]:
    """Classes of optimizers that define how gradients are applied."""
    kinds = dict.fromkeys((*keras.Optimizer.__mro__[:-1], *_below(keras.Optimizer)))
    return (kind for kind in kinds if "apply" in vars(kind))


def _below(kind: type) -> Iterator[type]:
    inheriting: list[type] = kind.__subclasses__()
    for each in inheriting:
        yield each
        yield from _below(each)
