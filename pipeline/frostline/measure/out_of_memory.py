"""Whether an error means that memory ran out, and what a trial's row says of it.

TensorFlow raises `ResourceExhaustedError` where an allocation fails. XLA and cuDNN raise others (an
`InternalError`, an error of XLA's own, whatever Keras makes of one) that name it in their text.
"""

from __future__ import annotations

import tensorflow as tf

from frostline.machine import this_machine
from frostline.measure import device
from frostline.measure.short_error import short_error
from frostline.trial import Setting
from frostline.words import size

_SIGNS = (
    "RESOURCE_EXHAUSTED",
    "OOM when allocating",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "Out of memory while trying to allocate",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this error, or one that it was raised from, says that memory ran out."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, tf.errors.ResourceExhaustedError | MemoryError):
            return True
        if any(sign in str(seen) for sign in _SIGNS):
            return True
        seen = seen.__cause__
    return False


def out_of_memory_words(error: BaseException, setting: Setting, *, trial: bool = False) -> str:
    """What did not fit where, and what to do about it.

    Args:
        error: what was raised.
        setting: of the model.
        trial: whether a trial's model did not fit, even alone; else the baseline did not.
    """
    there = device.memory_bytes()
    where = "this machine's memory of " if there is None else "the device's memory of "
    there = this_machine().memory_bytes if there is None else there
    advice = ", or freeze from the front" if trial else ""
    return (
        f"{where}{size(there)} does not hold the model at batch size {setting.batch_size}: lower "
        f"batch_size under [train]{advice}. {_last_words(error)}"
    )


def _last_words(error: BaseException) -> str:
    """What was allocated at last, without TensorFlow's advice, which does not apply here."""
    return short_error(error).split(" Hint: ")[0]
