"""Names and random numbers as in a new process, for every model that is built in the same one.

In: the seed. Out: Keras counts names from the start, has its own settings, and draws the same
numbers again. Models that exist go on working, and their compiled steps stay compiled. Keras and
TensorFlow would throw away the kernels of all functions, and a warm baseline would be optimised and
instantiated again at its next step: 3 to 4 s of every trial of Xception on an H200, 5 s of every
trial of ResNet50 on two cores. The kernels also hold the state of stateful random ops; after one of
these has run, they are thrown away as Keras does.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common import global_state
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import context
from tensorflow.python.framework import random_seed

_CLEAR = "TFE_ContextClearCaches"
_IMAGE_DATA_FORMAT = keras.config.image_data_format()
_EPSILON = keras.config.epsilon()


class _Draws:
    """Notices stateful random ops that run eagerly: they ask TensorFlow for their seed.

    Attributes:
        seen: one has run since the kernels were thrown away.
        clears: how often they were.
    """

    def __init__(self) -> None:
        self.seen = False
        self.clears = 0
        self._watched: Any = None

    def watch(self) -> None:
        """Begin, if that has not been done."""
        if random_seed.get_seed is self._watched:
            return
        original = random_seed.get_seed

        @functools.wraps(original)
        def get_seed(op_seed: int | None) -> Any:
            self.seen = self.seen or context.executing_eagerly()
            return original(op_seed)

        self._watched = random_seed.get_seed = get_seed


_DRAWS = _Draws()


def fresh_state(*, seed: int) -> None:
    """Reset Keras's name counters and settings and all random seeds; breaks open scopes.

    Without a dtype policy of its own, as there is none then, Keras follows `floatx`.

    Args:
        seed: of Python, NumPy and TensorFlow.
    """
    _DRAWS.watch()
    with nullcontext() if _DRAWS.seen else _kernels_kept():
        keras.utils.clear_session(free_memory=False)
    # An earlier builder may have set these, which stay whatever is cleared.
    keras.config.set_image_data_format(_IMAGE_DATA_FORMAT)
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(_EPSILON)
    tf.config.run_functions_eagerly(False)
    reseed(seed)


def reseed(seed: int) -> None:
    """Begin all random numbers anew: of Python, NumPy and TensorFlow."""
    with nullcontext() if _DRAWS.seen else _kernels_kept():
        keras.utils.set_random_seed(seed)
    _DRAWS.clears += _DRAWS.seen
    _DRAWS.seen = False


@contextmanager
def outlasting_clears(precision: str) -> Iterator[None]:
    """Let the dtype policy and the kernels of other models outlast a builder's `clear_session`.

    Builders begin with it to get the same names each time. It would also drop the policy that the
    setting asks for, and stop the baseline beside which the model is measured.
    """

    def local() -> Any:
        made = threading.local()
        if precision != "float32":
            made.dtype_policy = keras.dtype_policies.get(precision)
        return made

    # `clear_session` is known by many names, and under each it takes these.
    reset = tf.compat.v1.reset_default_graph
    global_state.threading = SimpleNamespace(local=local)
    tf.compat.v1.reset_default_graph = lambda: None  # it would end the strategy's scope
    try:
        with _kernels_kept():
            yield
    finally:
        global_state.threading = threading
        tf.compat.v1.reset_default_graph = reset


def clears() -> int:
    """How often in this process the compiled steps of all models were thrown away."""
    return _DRAWS.clears


@contextmanager
def _kernels_kept() -> Iterator[None]:
    """Leave the cache of kernels alone; a function that is deleted takes its own along."""
    clear = getattr(pywrap_tfe, _CLEAR)
    setattr(pywrap_tfe, _CLEAR, lambda _context: None)
    try:
        yield
    finally:
        setattr(pywrap_tfe, _CLEAR, clear)
