"""Versions of what is installed, the same for manifests, facts of models and the doctor."""

from __future__ import annotations

import platform
from importlib import metadata

import pytest

import frostline.installed
from frostline.doctor.machine import _versions
from frostline.installed import installed


@pytest.fixture
def cpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with TensorFlow's CPU-only build and Keras, and nothing else."""

    def version(name: str) -> str:
        known = {"tensorflow-cpu": "2.21.0", "keras": "3.15.1"}
        if name not in known:
            raise metadata.PackageNotFoundError(name)
        return known[name]

    monkeypatch.setattr(frostline.installed.metadata, "version", version)


def test_what_is_not_installed_is_left_out_and_the_order_is_the_callers(cpu_only: None) -> None:
    found = installed(["keras", "python", "ray", "tensorflow-cpu"])
    assert list(found) == ["keras", "python", "tensorflow-cpu"]
    assert found["python"] == platform.python_version()


def test_the_doctor_takes_the_cpu_build_for_tensorflow_and_names_what_is_missing(
    cpu_only: None,
) -> None:
    found = _versions()
    assert (found["tensorflow"], found["keras"], found["ray"]) == ("2.21.0", "3.15.1", None)
