"""What gives a device that waits for its host more to do: a larger batch, or XLA. Pure."""

from __future__ import annotations

from frostline.device_id import is_cpu
from frostline.store.trial_row import TrialRow


def may_compile(row: TrialRow) -> bool:
    """Whether asking for XLA would change a trial's step.

    Keras leaves it out where a layer does not support it (an LSTM with cuDNN's kernels): then
    `true` was asked for in vain, or on a GPU `auto`, which is `true` there on one device.
    """
    if row.jit_resolved:
        return False
    on_gpu = row.device_id is not None and not is_cpu(row.device_id)
    asked = row.jit_compile == "true" or (
        row.jit_compile == "auto" and on_gpu and row.strategy == "single"
    )
    return row.jit_resolved is None or not asked


def more_per_dispatch(*, compiling_helps: bool) -> str:
    """The advice, as a sentence without its full stop."""
    ways = "A larger batch or jit_compile = true" if compiling_helps else "A larger batch"
    return f"{ways} gives the device more to do per dispatch"
