"""This machine, as far as trials need it: cores, main memory and GPUs."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil

from frostline.cgroup import core_limit, memory_limit
from frostline.gpus import gpus_here, visible_gpus


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a sweep on one machine may use.

    Attributes:
        cores: CPU cores that this process may run on, no more than its container may use.
        memory_bytes: main memory, no more than its container may use.
        gpus: GPUs that are visible.
        gpu_memory_bytes: memory of the smallest of these GPUs; None where it is not known.
        gpu_names: their products, each once, ascending.
    """

    cores: int
    memory_bytes: int
    gpus: int
    gpu_memory_bytes: int | None
    gpu_names: tuple[str, ...]

    def slots(self, *, cpus: int, gpus: int) -> int:
        """Trials that can run at the same time, each with so many cores and GPUs."""
        by_cores = self.cores // cpus
        return min(by_cores, self.gpus // gpus) if gpus else by_cores


def usable_cores() -> int:
    """Cores that this process may run on, no more than its container may use."""
    allowed = len(os.sched_getaffinity(0))
    return min(allowed, core_limit() or allowed)


def usable_memory() -> int:
    """Bytes of main memory, no more than this process's container may use."""
    total: int = psutil.virtual_memory().total
    return min(total, memory_limit() or total)


def this_machine() -> Machine:
    """Look at this machine."""
    visible = visible_gpus()
    memories = [gpu.memory_bytes for gpu in visible if gpu.memory_bytes is not None]
    return Machine(
        cores=usable_cores(),
        memory_bytes=usable_memory(),
        gpus=gpus_here(),
        gpu_memory_bytes=min(memories, default=None),
        gpu_names=tuple(sorted({gpu.name for gpu in visible})),
    )
