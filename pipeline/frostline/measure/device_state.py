"""What state a trial's GPUs are in: clock, temperature, power, and why clocks are held down.

Asked of the driver through NVML before and after a trial's pairs, while the device still
works. Without a GPU, without NVML, and where a driver does not tell, the answer is None.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pynvml

from frostline.gpus import VISIBLE
from frostline.measure.messages import DeviceState

_REASONS = (
    (pynvml.nvmlClocksThrottleReasonGpuIdle, "idle"),
    (pynvml.nvmlClocksThrottleReasonApplicationsClocksSetting, "application_clocks"),
    (pynvml.nvmlClocksThrottleReasonSwPowerCap, "power_cap"),
    (pynvml.nvmlClocksThrottleReasonHwSlowdown, "hardware_slowdown"),
    (pynvml.nvmlClocksThrottleReasonSyncBoost, "sync_boost"),
    (pynvml.nvmlClocksThrottleReasonSwThermalSlowdown, "thermal_slowdown"),
    (pynvml.nvmlClocksThrottleReasonHwThermalSlowdown, "hardware_thermal_slowdown"),
    (pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown, "power_brake"),
    (pynvml.nvmlClocksThrottleReasonDisplayClockSetting, "display_clocks"),
)
"""The bits of NVML's mask and their names in the tables."""


def device_state() -> DeviceState | None:
    """The state of the visible GPUs now; None without a GPU or without a driver that answers.

    Of several GPUs the lowest clock, the highest temperature, the sum of the powers, and the
    reasons of any.
    """
    if os.environ.get(VISIBLE) == "":
        return None
    try:
        pynvml.nvmlInit()
        handles = visible_handles()
    except pynvml.NVMLError:
        return None
    if not handles:
        return None
    clocks = _of_all(handles, lambda gpu: pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM))
    heat = _of_all(
        handles, lambda gpu: pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU)
    )
    milliwatts = _of_all(handles, pynvml.nvmlDeviceGetPowerUsage)
    masks = _of_all(handles, pynvml.nvmlDeviceGetCurrentClocksThrottleReasons)
    return DeviceState(
        clock_mhz=None if clocks is None else min(clocks),
        temperature_celsius=None if heat is None else max(heat),
        power_watts=None if milliwatts is None else sum(milliwatts) / 1000,
        throttle_reasons=None if masks is None else _named(masks),
    )


def visible_handles() -> list[object]:
    """NVML's handles of the GPUs that this process may see; NVML must be initialised."""
    visible = os.environ.get(VISIBLE)
    if visible is None:
        return [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    return [
        pynvml.nvmlDeviceGetHandleByIndex(int(entry))
        if entry.isdigit()
        else pynvml.nvmlDeviceGetHandleByUUID(entry)
        for entry in filter(None, visible.split(","))
    ]


def _of_all(handles: list[object], ask: Callable[[object], int]) -> list[int] | None:
    """One figure of every GPU; None where the driver does not tell that of each."""
    try:
        return [int(ask(handle)) for handle in handles]
    except pynvml.NVMLError:
        return None


def _named(masks: list[int]) -> tuple[str, ...]:
    return tuple(name for bit, name in _REASONS if any(mask & bit for mask in masks))
