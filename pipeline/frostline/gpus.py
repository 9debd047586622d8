"""The NVIDIA GPUs of this machine, asked of the driver through NVML, without TensorFlow.

What the driver cannot tell is None; a machine without a driver has no GPUs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU as the driver sees it.

    Attributes:
        name: product name.
        memory_bytes: size of its memory.
        processes: processes of any user that compute on it now.
    """

    name: str
    memory_bytes: int
    processes: int


def driver_gpus() -> tuple[Gpu, ...] | None:
    """Every GPU that the driver lists; None without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return tuple(
            Gpu(
                name=pynvml.nvmlDeviceGetName(handle),
                memory_bytes=pynvml.nvmlDeviceGetMemoryInfo(handle).total,
                processes=len(pynvml.nvmlDeviceGetComputeRunningProcesses(handle)),
            )
            for handle in handles
        )
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def first_gpus(count: int) -> str:
    """`CUDA_VISIBLE_DEVICES` for a process that may use so many of the visible GPUs."""
    visible = os.environ.get(VISIBLE)
    ids = [str(number) for number in range(count)] if visible is None else visible.split(",")
    return ",".join(each.strip() for each in ids[:count])


def gpus_here() -> int:
    """How many GPUs a sweep on this machine may use: those of the driver that are visible.

    Counts as Ray does: `CUDA_VISIBLE_DEVICES` hides the others.
    """
    there = len(driver_gpus() or ())
    visible = os.environ.get(VISIBLE)
    if visible is None:
        return there
    named = [entry.strip() for entry in visible.split(",")]
    return min(there, sum(entry not in ("", "-1", "NoDevFiles") for entry in named))
