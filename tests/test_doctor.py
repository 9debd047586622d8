"""The doctor: every judgement follows from what was observed, and says what to do."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from frostline.cli import main
from frostline.doctor import Observations, judge
from frostline.doctor.checks import Check
from frostline.doctor.machine import observe
from frostline.doctor.probes import Devices, NoAnswer
from frostline.doctor.tested_versions import KNOWN_TO_WORK
from frostline.gpus import Gpu

GIB = 2**30

HEALTHY = Observations(
    python=(3, 12),
    versions={name: f"{minor}.7" for name, minor in KNOWN_TO_WORK.items()},
    bytecode_off=False,
    tensorflow_compiled=True,
    cores=8,
    affinity=8,
    load=0.1,
    memory_total=32 * GIB,
    memory_available=30 * GIB,
    shared_memory=8 * GIB,
    niceness=0,
    driver_gpus=(Gpu(name="NVIDIA L4", memory_bytes=24 * GIB, processes=0),),
    profiling_restricted=False,
    may_administer=False,
    devices=Devices(gpus=("NVIDIA L4",), profile=None),
    ray=None,
    storage="out",
    storage_error=None,
    storage_free=100 * GIB,
)


def worst(observations: Observations) -> dict[str, Check]:
    return {check.name: check for check in judge(observations) if check.level != "ok"}


def test_a_healthy_machine_has_nothing_to_mend():
    assert worst(HEALTHY) == {}


@pytest.mark.parametrize(
    ("change", "name", "level", "advice"),
    [
        ({"python": (3, 10)}, "Python", "problem", "3.11"),
        ({"versions": {**HEALTHY.versions, "ray": None}}, "ray", "problem", "pip install"),
        ({"versions": {**HEALTHY.versions, "keras": "4.0.1"}}, "keras", "warning", "3.15"),
        ({"bytecode_off": True}, "bytecode", "warning", "unset"),
        ({"devices": NoAnswer("ImportError: x")}, "devices", "problem", "import tensorflow"),
        ({"devices": Devices(gpus=(), profile=None)}, "devices", "problem", "[gpu]"),
        ({"devices": Devices(gpus=("L4",), profile="nothing")}, "devices", "problem", "reinstall"),
        ({"devices": Devices(gpus=("L4",), profile="host")}, "CUPTI", "problem", "modprobe"),
        ({"profiling_restricted": True}, "CUPTI", "problem", "NVreg_Restrict"),
        ({"profiling_restricted": None}, "CUPTI", "warning", "--thorough"),
        ({"driver_gpus": (Gpu(name="L4", memory_bytes=1, processes=2),)}, "GPU load",
         "warning", "CUDA_VISIBLE_DEVICES"),
        ({"ray": NoAnswer("no ray")}, "Ray", "problem", "--thorough"),
        ({"storage_error": "denied"}, "storage", "problem", "--out"),
        ({"storage_free": GIB}, "storage", "warning", "keep_traces"),
        ({"affinity": 1}, "cores", "warning", "taskset"),
        ({"load": 7.5}, "load", "warning", "noise floor"),
        ({"memory_available": GIB}, "memory", "warning", "batch_size"),
        ({"shared_memory": 64 * 2**20}, "shared memory", "warning", "--shm-size"),
        ({"niceness": 15}, "niceness", "warning", "nice"),
    ],
)  # fmt: skip
def test_each_trouble_is_found_alone_and_comes_with_a_remedy(change, name, level, advice):
    found = worst(replace(HEALTHY, **change))
    assert list(found) == [name]
    assert found[name].level == level
    assert advice in found[name].advice


def test_permission_to_profile_is_not_missed_by_an_administrator():
    seen = replace(HEALTHY, profiling_restricted=True, may_administer=True)
    assert worst(seen) == {}


def test_recorded_kernels_count_more_than_the_drivers_setting():
    seen = replace(
        HEALTHY, profiling_restricted=True, devices=Devices(gpus=("L4",), profile="kernels")
    )
    assert worst(seen) == {}


def test_without_a_gpu_nothing_is_said_about_profiling_permission():
    seen = replace(HEALTHY, driver_gpus=None, devices=Devices(gpus=(), profile=None))
    assert worst(seen) == {}
    assert "CUPTI" not in {check.name for check in judge(seen)}


@pytest.mark.tf
def test_this_machine_can_be_observed(tmp_path: Path):
    not_yet_there = tmp_path / "deep" / "out"
    seen = observe(str(not_yet_there))
    assert isinstance(seen.devices, Devices)
    assert seen.ray is None
    assert seen.storage_error is None
    assert not not_yet_there.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_named_by_a_uri_need_not_be_there(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("frostline.doctor.machine.ask_tensorflow", lambda **_: NoAnswer("unasked"))
    monkeypatch.setattr("frostline.doctor.machine.ask_ray", lambda **_: None)
    seen = observe((tmp_path / "deep" / "out").as_uri())
    assert seen.storage_error is None
    assert seen.storage_free
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_no_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("frostline.doctor.machine.ask_tensorflow", lambda **_: NoAnswer("unasked"))
    monkeypatch.setattr("frostline.doctor.machine.ask_ray", lambda **_: None)
    (tmp_path / "file").write_text("")
    seen = observe(str(tmp_path / "file" / "out"))
    assert seen.storage_error
    assert seen.storage_free is None


def test_a_place_in_a_folder_that_may_not_be_entered_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("frostline.doctor.machine.ask_tensorflow", lambda **_: NoAnswer("unasked"))
    monkeypatch.setattr("frostline.doctor.machine.ask_ray", lambda **_: None)

    def denied(_path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "exists", denied)
    assert observe(str(tmp_path / "theirs" / "out")).storage_error == "Permission denied"


def test_a_store_that_arrow_cannot_open_is_reported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("frostline.doctor.machine.ask_tensorflow", lambda **_: NoAnswer("unasked"))
    monkeypatch.setattr("frostline.doctor.machine.ask_ray", lambda **_: None)

    def unsupported(_uri: str) -> None:
        raise NotImplementedError("Arrow was built without HDFS")

    monkeypatch.setattr("frostline.store.open_uri.open_uri", unsupported)
    assert observe("hdfs://name:8020/out").storage_error == "Arrow was built without HDFS"


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({}, 0, "0 problem(s), 0 warning(s). Ready to measure."),
        ({"affinity": 1}, 0, "0 problem(s), 1 warning(s). Ready to measure."),
        (
            {"ray": NoAnswer("no [bold] module")},
            1,
            "1 problem(s), 0 warning(s). Fix the problems first.",
        ),
    ],
)
def test_the_command_exits_one_on_problems_only(monkeypatch, capsys, change, code, said):
    monkeypatch.setattr("frostline.doctor.observe", lambda *_, **__: replace(HEALTHY, **change))
    assert main(["doctor"]) == code
    text = " ".join(capsys.readouterr().out.split())
    assert said in text
    assert ("no [bold] module → mend what it names" in text) == bool(code)
