"""The NVIDIA GPUs of this machine, asked of the driver through NVML, without TensorFlow.

What the driver cannot tell is None; a machine without a driver has no GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

VISIBLE = "CUDA_VISIBLE_DEVICES"
_HIDES_ALL = ("", "-1", "NoDevFiles")

_Fact = TypeVar("_Fact")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU as the driver sees it.

    Attributes:
        name: product name.
        uuid: its identity, `GPU-...`.
        memory_bytes: size of its memory; None where it has none of its own.
        processes: processes of any user that compute on it now; None where they are not counted.
    """

    name: str
    uuid: str | None = None
    memory_bytes: int | None
    processes: int | None


def driver_gpus() -> tuple[Gpu, ...] | None:
    """Every GPU that the driver lists; None without a driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None

    def told(ask: Callable[[], _Fact]) -> _Fact | None:
        """A fact; None where this driver or this kind of GPU does not support the question."""
        try:
            return ask()
        except pynvml.NVMLError:
            return None

    def gpu(handle: object) -> Gpu:
        running = told(lambda: pynvml.nvmlDeviceGetComputeRunningProcesses(handle))
        return Gpu(
            name=pynvml.nvmlDeviceGetName(handle),
            uuid=told(lambda: pynvml.nvmlDeviceGetUUID(handle)),
            memory_bytes=told(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).total),
            processes=None if running is None else len(running),
        )

    try:
        count = pynvml.nvmlDeviceGetCount()
        return tuple(gpu(pynvml.nvmlDeviceGetHandleByIndex(number)) for number in range(count))
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def visible_gpus() -> tuple[Gpu, ...]:
    """The driver's GPUs that `CUDA_VISIBLE_DEVICES` names, by number or by UUID.

    Numbers are the driver's. All GPUs where it names something that the driver does not list, such
    as a part of a GPU.
    """
    there = driver_gpus() or ()
    named = _named()
    if named is None:
        return there
    found = [
        next(
            (
                gpu
                for number, gpu in enumerate(there)
                if name == str(number) or (gpu.uuid is not None and gpu.uuid.startswith(name))
            ),
            None,
        )
        for name in named
    ]
    return there if None in found else tuple(gpu for gpu in found if gpu is not None)


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
    named = _named()
    return there if named is None else min(there, len(named))


def _named() -> list[str] | None:
    """What `CUDA_VISIBLE_DEVICES` names; None where it is not set."""
    visible = os.environ.get(VISIBLE)
    if visible is None:
        return None
    return [name for each in visible.split(",") if (name := each.strip()) not in _HIDES_ALL]
