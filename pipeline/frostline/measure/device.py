"""The device that a measuring process holds: its kind, its memory, its energy, its threads.

Whatever this machine cannot tell is None.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pynvml
import tensorflow as tf

from frostline.device_id import cpu_id
from frostline.measure.device_state import visible_handles


def configure_threads() -> None:
    """Thread counts as the process's cores allow; one inter-op thread on CPUs.

    With one inter-op thread the ops of a CPU step run one after the other, so that their self
    times add up to the step. Call before TensorFlow has run anything.
    """
    threads = len(os.sched_getaffinity(0))
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    tf.config.threading.set_inter_op_parallelism_threads(threads if has_gpu else 1)
    for gpu in tf.config.list_physical_devices("GPU"):
        # Allocation on demand: the process must not take the whole device from its neighbours, and
        # `peak_bytes` reads the allocator's own peak.
        tf.config.experimental.set_memory_growth(gpu, True)


def device_kind() -> str:
    """Model of the first GPU, else of the CPU."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return str(details.get("device_name", "GPU"))
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Hardware", "CPU part")):
            return line.partition(":")[2].strip()
    return "CPU"


def device_id() -> str:
    """UUIDs of the visible GPUs, else the CPU cores held (`cpu:0,1`)."""
    if tf.config.list_physical_devices("GPU"):
        uuids = _gpu_uuids()
        return ",".join(uuids) if uuids else os.environ.get("CUDA_VISIBLE_DEVICES", "GPU")
    return cpu_id(os.sched_getaffinity(0))


def _gpu_uuids() -> list[str]:
    try:
        pynvml.nvmlInit()
        return [str(pynvml.nvmlDeviceGetUUID(handle)) for handle in visible_handles()]
    except pynvml.NVMLError:
        return []


def energy_millijoules() -> int | None:
    """Energy counter of the visible GPUs since the driver was loaded; None where not counted."""
    if not tf.config.list_physical_devices("GPU"):
        return None
    try:
        pynvml.nvmlInit()
        handles = visible_handles()
        return sum(int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)) for handle in handles)
    except pynvml.NVMLError:
        return None


def current_bytes() -> int | None:
    """Bytes that tensors occupy on the first GPU now; None on CPUs."""
    if not tf.config.list_logical_devices("GPU"):
        return None
    return int(tf.config.experimental.get_memory_info("GPU:0")["current"])


def memory_bytes() -> int | None:
    """Memory of the smallest visible GPU; None on CPUs, and where the driver does not tell."""
    if not tf.config.list_logical_devices("GPU"):
        return None
    try:
        pynvml.nvmlInit()
        sizes = [int(pynvml.nvmlDeviceGetMemoryInfo(each).total) for each in visible_handles()]
    except pynvml.NVMLError:
        return None
    return min(sizes, default=None)


def reset_peak() -> None:
    """Let the allocator's peak start again from what is allocated now."""
    if tf.config.list_logical_devices("GPU"):
        tf.config.experimental.reset_memory_stats("GPU:0")


def peak_bytes() -> int | None:
    """The allocator's peak on the first GPU since `reset_peak`; None on CPUs.

    On a CPU there is no such figure: the resident size of the process includes TensorFlow, the
    baseline and what the allocator kept of earlier trials, so it says nothing about one trial.
    """
    if not tf.config.list_logical_devices("GPU"):
        return None
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])


def resident_bytes() -> int:
    """Resident size of this process."""
    return int(psutil.Process().memory_info().rss)
