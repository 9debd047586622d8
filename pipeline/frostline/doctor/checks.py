"""From observations to checks: ok, a warning (measures worse) or a problem (does not work).

Pure: the same observations give the same checks. Every check that is not ok says what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from frostline.doctor.machine import Observations
from frostline.doctor.probes import NoAnswer
from frostline.doctor.tested_versions import KNOWN_TO_WORK

Level = Literal["ok", "warning", "problem"]

GIB = 2**30

LEAST_MEMORY = 4 * GIB
LEAST_FREE_DISK = 2 * GIB
LEAST_SHARED_MEMORY = GIB // 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One judgement.

    Attributes:
        name: what was looked at.
        level: `ok`, `warning` or `problem`.
        found: what is there.
        advice: what to do about it; empty when ok.
    """

    name: str
    level: Level
    found: str
    advice: str = ""


def judge(seen: Observations) -> tuple[Check, ...]:
    """Every check, in the order in which a user would fix problems."""
    return (
        _python(seen),
        *_versions(seen),
        _bytecode(seen),
        _tensorflow(seen),
        *_gpus(seen),
        _ray(seen),
        _storage(seen),
        _cores(seen),
        _load(seen),
        _memory(seen),
        *_shared_memory(seen),
        _niceness(seen),
    )


def _python(seen: Observations) -> Check:
    found = ".".join(map(str, seen.python))
    if (3, 11) <= seen.python <= (3, 13):
        return Check(name="Python", level="ok", found=found)
    return Check(
        name="Python", level="problem", found=found,
        advice="use Python 3.11, 3.12 or 3.13: TensorFlow 2.21 and Keras 3.15 run on these",
    )  # fmt: skip


def _versions(seen: Observations) -> Iterator[Check]:
    as_tested: list[str] = []
    for name, known in KNOWN_TO_WORK.items():
        version = seen.versions.get(name)
        if version is None:
            yield Check(
                name=name, level="problem", found="not installed",
                advice="install Frostline with its dependencies: pip install .",
            )  # fmt: skip
        elif version.split(".")[:2] != known.split("."):
            yield Check(
                name=name, level="warning", found=version,
                advice=f"tested with {known}; pip install -c constraints.txt . gives that one",
            )  # fmt: skip
        else:
            as_tested.append(f"{name} {version}")
    if as_tested:
        yield Check(name="versions", level="ok", found=", ".join(as_tested))


def _bytecode(seen: Observations) -> Check:
    if not seen.bytecode_off:
        return Check(name="bytecode", level="ok", found=".pyc files are written")
    missing = " and TensorFlow has none" if seen.tensorflow_compiled is False else ""
    return Check(
        name="bytecode", level="warning",
        found=f"PYTHONDONTWRITEBYTECODE is set{missing}",
        advice="unset it, or run python -m compileall on the environment once: "
        "each measuring process imports TensorFlow, twice as slowly without .pyc files",
    )  # fmt: skip


def _tensorflow(seen: Observations) -> Check:
    if isinstance(seen.devices, NoAnswer):
        return Check(
            name="devices", level="problem",
            found=f"TensorFlow does not start: {seen.devices.error}",
            advice='run python -c "import tensorflow" and fix what it reports',
        )  # fmt: skip
    if seen.driver_gpus and not seen.devices.gpus:
        return Check(
            name="devices", level="problem",
            found=f"the driver lists {seen.driver_gpus[0].name}, TensorFlow sees no GPU",
            advice="pip install '.[gpu]', and check that CUDA_VISIBLE_DEVICES is not empty",
        )  # fmt: skip
    if seen.devices.profile == "nothing":
        return Check(
            name="devices", level="problem", found="a profile of one multiplication is empty",
            advice="step times will be measured, but not split into passes; "
            "reinstall tensorflow and tensorboard-plugin-profile in the tested versions",
        )  # fmt: skip
    gpus = ", ".join(seen.devices.gpus)
    found = gpus or "CPU only"
    held = {"kernels": "GPU kernels", "host": "ops on the host"}.get(seen.devices.profile or "")
    if held:
        found += f"; profiled one multiplication on it, and the profile holds {held}"
    return Check(name="devices", level="ok", found=found)


def _gpus(seen: Observations) -> Iterator[Check]:
    if not seen.driver_gpus:
        return
    denied = bool(seen.profiling_restricted) and not seen.may_administer
    recorded = None if isinstance(seen.devices, NoAnswer) else seen.devices.profile
    if recorded == "kernels":
        yield Check(name="CUPTI", level="ok", found="a profile holds GPU kernels")
    elif recorded == "host" or denied:
        yield Check(
            name="CUPTI", level="problem",
            found="a profile holds no GPU kernels" if recorded == "host"
            else "the driver lets only administrators profile",
            advice="put `options nvidia NVreg_RestrictProfilingToAdminUsers=0` into "
            "/etc/modprobe.d/nvidia.conf and reboot, or run with CAP_SYS_ADMIN "
            "(docker run --cap-add SYS_ADMIN); without it steps are timed but not split by pass",
        )  # fmt: skip
    elif seen.profiling_restricted is None:
        yield Check(
            name="CUPTI", level="warning", found="permission to profile is not known",
            advice="frostline doctor --thorough profiles one multiplication and tells",
        )  # fmt: skip
    else:
        yield Check(name="CUPTI", level="ok", found="profiling is allowed")
    busy = sum(gpu.processes or 0 for gpu in seen.driver_gpus)
    if busy:
        yield Check(
            name="GPU load", level="warning", found=f"{busy} process(es) compute on the GPUs",
            advice="wait for them or choose another GPU with CUDA_VISIBLE_DEVICES: "
            "a shared GPU widens every interval",
        )  # fmt: skip


def _ray(seen: Observations) -> Check:
    if seen.ray is None:
        found = seen.versions.get("ray") or "works"
        tried = "; started an embedded Ray, ran a task on it and ended it" if seen.thorough else ""
        return Check(name="Ray", level="ok", found=found + tried)
    return Check(
        name="Ray", level="problem", found=seen.ray.error,
        advice="mend what it names; frostline doctor --thorough then starts Ray as a sweep does",
    )  # fmt: skip


def _storage(seen: Observations) -> Check:
    if seen.storage_error is not None:
        return Check(
            name="storage", level="problem", found=f"{seen.storage}: {seen.storage_error}",
            advice="name a place that can be written: frostline doctor --out PLACE",
        )  # fmt: skip
    if seen.storage_free is not None and seen.storage_free < LEAST_FREE_DISK:
        return Check(
            name="storage", level="warning",
            found=f"{seen.storage}: {_gib(seen.storage_free)} free",
            advice='free some, or keep fewer traces: keep_traces = "anchors" under [measure]; '
            "frostline plan estimates what a study needs",
        )  # fmt: skip
    free = "" if seen.storage_free is None else f", {_gib(seen.storage_free)} free"
    return Check(name="storage", level="ok", found=f"{seen.storage} can be written{free}")


def _ok_or_warning(name: str, found: str, *, fine: bool, advice: str) -> Check:
    if fine:
        return Check(name=name, level="ok", found=found)
    return Check(name=name, level="warning", found=found, advice=advice)


def _cores(seen: Observations) -> Check:
    return _ok_or_warning(
        "cores",
        f"{seen.affinity} of {seen.cores}",
        fine=seen.affinity >= 2,
        advice="give it two or more (taskset, --cpuset-cpus): with one, the program that "
        "schedules and the step that is measured disturb each other",
    )


def _load(seen: Observations) -> Check:
    return _ok_or_warning(
        "load",
        f"load average {seen.load:.1f} on {seen.cores} cores",
        fine=seen.load <= max(0.5, seen.cores / 2),
        advice="end what else computes here: it widens every interval and the noise floor",
    )


def _memory(seen: Observations) -> Check:
    return _ok_or_warning(
        "memory",
        f"{_gib(seen.memory_available)} of {_gib(seen.memory_total)} available",
        fine=seen.memory_available >= LEAST_MEMORY,
        advice="a measuring process holds TensorFlow and two models: take a smaller batch_size "
        "or free some memory",
    )


def _shared_memory(seen: Observations) -> Iterator[Check]:
    if seen.shared_memory is None:
        return
    yield _ok_or_warning(
        "shared memory",
        f"/dev/shm has {_gib(seen.shared_memory)}",
        fine=seen.shared_memory >= LEAST_SHARED_MEMORY,
        advice="in a container: --shm-size=1g; Ray's object store otherwise goes to disk",
    )


def _niceness(seen: Observations) -> Check:
    return _ok_or_warning(
        "niceness",
        str(seen.niceness),
        fine=seen.niceness <= 0,
        advice="start it without nice: other processes take the cores from a step first",
    )


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
