"""NVIDIA machines as NVML describes them: a fake of its functions, for what this package calls.

Each function takes and gives what the one of `pynvml` does; `test_gpus` holds the names and the
parameters of the two against each other.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import pynvml
import pytest

GIB = 2**30


@dataclass
class FakeGpu:
    """One GPU; `reasons` are what its clocks say at one question after the other."""

    name: str = "NVIDIA H200"
    uuid: str = "GPU-0"
    memory_bytes: int = 141 * GIB
    clock_mhz: int = 1980
    temperature_c: int = 61
    milliwatts: int = 402_500
    reasons: Sequence[int] = (0,)
    asked: int = field(default=0)


class FakeNvml:
    """What the driver of a machine with these GPUs answers."""

    def __init__(self, gpus: Sequence[FakeGpu], *, refused: Sequence[str] = ()) -> None:
        """Take the GPUs, and the functions that this driver does not support."""
        self.gpus = list(gpus)
        self.refused = refused

    def install(self, monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
        """Put it in the place of NVML."""
        for name in (each for each in dir(self) if each.startswith("nvml")):
            function = self._refuse if name in self.refused else getattr(self, name)
            monkeypatch.setattr(pynvml, name, function)
        return self

    def _refuse(self, *_: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    def nvmlInit(self) -> None:
        pass

    def nvmlShutdown(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> FakeGpu:
        return next(gpu for gpu in self.gpus if gpu.uuid == uuid)

    def nvmlDeviceGetName(self, handle: FakeGpu) -> str:
        return handle.name

    def nvmlDeviceGetUUID(self, handle: FakeGpu) -> str:
        return handle.uuid

    def nvmlDeviceGetMemoryInfo(self, handle: FakeGpu, version: object = None) -> object:
        return SimpleNamespace(total=handle.memory_bytes)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: FakeGpu) -> list[object]:
        return []

    def nvmlDeviceGetClockInfo(self, handle: FakeGpu, type: int) -> int:
        assert type == pynvml.NVML_CLOCK_SM
        return handle.clock_mhz

    def nvmlDeviceGetTemperature(self, handle: FakeGpu, sensor: int) -> int:
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return handle.temperature_c

    def nvmlDeviceGetPowerUsage(self, handle: FakeGpu) -> int:
        return handle.milliwatts

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: FakeGpu) -> int:
        said = handle.reasons[min(handle.asked, len(handle.reasons) - 1)]
        handle.asked += 1
        return said


def parameters(function: object) -> list[str]:
    """Names of the parameters of a function of NVML."""
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def no_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a driver: NVML's library cannot be found."""

    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
