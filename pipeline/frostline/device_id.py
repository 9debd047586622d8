"""The format of `trials.device_id`: the CPU cores that a trial held (`cpu:0,1`), or its GPUs.

GPUs are listed by UUID, separated by commas; where the driver does not tell the UUIDs, as
CUDA_VISIBLE_DEVICES lists them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_CPU = "cpu:"
_RANGE = re.compile(r"\d+-\d+")
"""A range of cores, as it stands in the oldest tables; no GPU is called so."""


def cpu_id(cores: Iterable[int]) -> str:
    """The id of a process that holds these CPU cores and no GPU."""
    return _CPU + ",".join(str(core) for core in sorted(cores))


def is_cpu(device_id: str) -> bool:
    """Whether the trial's ops ran on a CPU."""
    return device_id.startswith(_CPU) or _RANGE.fullmatch(device_id) is not None


def gpu_count(device_id: str) -> int:
    """How many GPUs an id names (which is not that of a CPU); at least 1."""
    return device_id.count(",") + 1
