"""Observes this machine by reading files and asking libraries; judges nothing.

In: the place where results would go. Out: `Observations`. What cannot be found out is None there,
and a broken installation is an observation like any other.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib import util
from pathlib import Path

import psutil

from frostline.doctor.probes import Devices, NoAnswer, ask_ray, ask_tensorflow
from frostline.doctor.tested_versions import KNOWN_TO_WORK
from frostline.gpus import Gpu, driver_gpus
from frostline.installed import installed
from frostline.machine import usable_cores, usable_memory
from frostline.store.address import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """The machine as found; sizes in bytes.

    Attributes:
        python: version as (major, minor).
        versions: installed version by distribution; None: not installed.
        bytecode_off: `PYTHONDONTWRITEBYTECODE` is set.
        tensorflow_compiled: TensorFlow has `.pyc` files; None: it was not found.
        cores, affinity: cores of the machine, cores this process may use (in a container, too).
        load: load average of the last minute.
        memory_total, memory_available: main memory, no more than the container's.
        shared_memory: size of `/dev/shm`; None where there is none.
        niceness: of this process.
        driver_gpus: what the NVIDIA driver lists; None without a driver.
        profiling_restricted: the driver lets only administrators profile; None: unknown.
        may_administer: this process holds CAP_SYS_ADMIN or CAP_PERFMON.
        devices: what TensorFlow saw, or why it could not be asked.
        ray: None when Ray works, as far as that was tried, else what went wrong.
        storage: the place that was tried.
        storage_error: None when it can be written, else what went wrong.
        storage_free: free space there; None where it is not known (object stores).
        thorough: whether TensorFlow profiled and an embedded Ray was started.
    """

    python: tuple[int, int]
    versions: dict[str, str | None]
    bytecode_off: bool
    tensorflow_compiled: bool | None
    cores: int
    affinity: int
    load: float
    memory_total: int
    memory_available: int
    shared_memory: int | None
    niceness: int
    driver_gpus: tuple[Gpu, ...] | None
    profiling_restricted: bool | None
    may_administer: bool
    devices: Devices | NoAnswer
    ray: NoAnswer | None
    storage: str
    storage_error: str | None
    storage_free: int | None
    thorough: bool = False


def observe(storage: str = ".", *, thorough: bool = False) -> Observations:
    """Observe this machine.

    Args:
        storage: folder or URI where a sweep would write.
        thorough: also profile one multiplication and start an embedded Ray (about 20 s more).
    """
    memory = psutil.virtual_memory()
    where = Address.parse(storage)
    storage_error, storage_free = _try_storage(where)
    return Observations(
        python=sys.version_info[:2],
        versions=_versions(),
        bytecode_off=bool(os.environ.get("PYTHONDONTWRITEBYTECODE")),
        tensorflow_compiled=_compiled("tensorflow"),
        cores=os.cpu_count() or 1,
        affinity=usable_cores() if hasattr(os, "sched_getaffinity") else 1,
        load=os.getloadavg()[0],
        memory_total=usable_memory(),
        memory_available=min(memory.available, usable_memory()),
        shared_memory=_size(Path("/dev/shm")),
        niceness=os.nice(0),
        driver_gpus=driver_gpus(),
        profiling_restricted=_profiling_restricted(Path("/proc/driver/nvidia/params")),
        may_administer=_may_administer(Path("/proc/self/status")),
        devices=ask_tensorflow(thorough=thorough),
        ray=ask_ray(thorough=thorough),
        storage=where.shown,
        storage_error=storage_error,
        storage_free=storage_free,
        thorough=thorough,
    )


def _versions() -> dict[str, str | None]:
    # A CPU-only build of TensorFlow is a distribution of its own.
    found = installed((*KNOWN_TO_WORK, "tensorflow-cpu"))
    versions = {name: found.get(name) for name in KNOWN_TO_WORK}
    return versions | {"tensorflow": found.get("tensorflow", found.get("tensorflow-cpu"))}


def _compiled(module: str) -> bool | None:
    spec = util.find_spec(module)
    if spec is None or spec.origin is None:
        return None
    return any(Path(spec.origin).parent.glob("__pycache__/*.pyc"))


def _size(folder: Path) -> int | None:
    return shutil.disk_usage(folder).total if folder.is_dir() else None


def _profiling_restricted(params: Path) -> bool | None:
    try:
        lines = params.read_text().splitlines()
    except OSError:
        return None
    values = [line.split(":")[1].strip() for line in lines if "RmProfilingAdminOnly" in line]
    return values[0] != "0" if values else None


def _may_administer(status: Path) -> bool:
    cap_sys_admin, cap_perfmon = 21, 38  # linux/capability.h
    try:
        lines = status.read_text().splitlines()
    except OSError:
        return False
    effective = next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff")), 0)
    return bool(effective & (1 << cap_sys_admin | 1 << cap_perfmon))


def _try_storage(storage: Address) -> tuple[str | None, int | None]:
    """Write, rename and remove a small file where results would go."""
    if storage.is_uri:
        return _try_object_store(storage)
    return _try_folder(Path(storage.reveal()).expanduser())


def _try_folder(folder: Path) -> tuple[str | None, int | None]:
    """The nearest folder above it that is there stands for it: a sweep makes what is missing."""
    try:
        existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        with tempfile.TemporaryDirectory(prefix=".frostline-doctor-", dir=existing) as name:
            written = Path(name, "a")
            written.write_bytes(b"frostline")
            written.rename(Path(name, "b"))
        return None, shutil.disk_usage(existing).free
    except OSError as error:
        return error.strerror or str(error), None


def _try_object_store(place: Address) -> tuple[str | None, int | None]:
    from frostline.store.open_uri import open_uri  # which brings Arrow along

    try:
        filesystem, path = open_uri(place.reveal())
        if filesystem.type_name == "local":
            return _try_folder(Path(path))
        probe = f"{path.rstrip('/')}/.frostline-doctor"
        with filesystem.open_output_stream(probe) as stream:
            stream.write(b"frostline")
        filesystem.delete_file(probe)
    except (OSError, ValueError, ImportError, NotImplementedError) as error:
        return place.scrub(str(error)), None
    return None, None
