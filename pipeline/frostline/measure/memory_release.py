"""Frees what a finished trial held, so that one process can serve many trials."""

from __future__ import annotations

import ctypes
import gc
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tensorflow.python.framework import ops

_Iterator = TypeVar("_Iterator", bound=Iterator[Any])

_kept: list[object] = []


def kept(iterator: _Iterator) -> _Iterator:
    """Hold an iterator of distributed batches, until `let_go` or the end of `transient_models`.

    To delete one takes up to two minutes: it waits for the thread that tunes its pipeline, which
    sleeps in periods that double from 10 ms to 60 s (`Model::OptimizeLoop` of tf.data). Whoever
    drops the last reference waits, and that should not be the one that measures.
    """
    _kept.append(iterator)
    return iterator


def let_go(first: int = 0) -> None:
    """Delete the iterators that are held, from the given one on, in a thread of their own.

    What else refers to them, reference cycles of the trial, must be collected before. The thread
    collects nothing: while one thread collects, `gc.collect` of another does nothing.
    """
    dropped = _kept[first:]
    del _kept[first:]
    if dropped:
        threading.Thread(target=dropped.clear, name="frostline-let-go", daemon=True).start()


@contextmanager
def transient_models() -> Iterator[None]:
    """Models traced inside are forgotten by TensorFlow when the block ends.

    Keras's optimizers sum gradients through `ReplicaContext.all_reduce`, a custom gradient, and
    TensorFlow keeps every custom gradient of a traced function in a registry for ever, including
    closures and with them all variables (TensorFlow 2.21: about one model's size per trial). The
    entries are needed only to differentiate that very function again.

    An error that leaves the block keeps its message and lines, and the local variables of the
    functions it passed are dropped: with them it would hold the model for as long as it is told.
    """
    registry = ops.gradient_registry._registry
    before = set(registry)
    held_before = len(_kept)
    try:
        yield
    except BaseException as error:
        _drop_locals(error)
        raise
    finally:
        for name in [name for name in registry if name not in before]:
            del registry[name]
        release_memory()
        let_go(held_before)


def _drop_locals(error: BaseException | None) -> None:
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def settle() -> None:
    """Leave everything that is alive now out of later collections.

    TensorFlow, Keras and the baseline are millions of objects that stay; scanning them at every
    collection costs more than a tenth of a second. Call it when the baseline is warm.
    """
    gc.collect()
    gc.freeze()


def unsettle() -> None:
    """Undo `settle`, so that a baseline can be collected."""
    gc.unfreeze()


def release_memory() -> None:
    """Collect reference cycles, then return the C heap's free pages to the system."""
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):  # no glibc: the heap keeps its pages
        return
