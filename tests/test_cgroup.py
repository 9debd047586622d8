"""What a container may use, by the files of its control group."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from frostline import machine
from frostline.cgroup import core_limit, memory_limit

GIB = 1 << 30


@pytest.fixture
def files(tmp_path: Path):
    """Write the files of a system, by their paths; give its root."""

    def write(contents: dict[str, str]) -> Path:
        for name, text in contents.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


def test_a_container_of_version_2(files) -> None:
    root = files(
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.max": f"{16 * GIB}\n",
            "sys/fs/cgroup/cpu.max": "250000 100000\n",
        }
    )
    assert memory_limit(root) == 16 * GIB
    assert core_limit(root) == 2, "a trial holds whole cores"


def test_the_limits_of_the_groups_above_hold_too(files) -> None:
    root = files(
        {
            "proc/self/cgroup": "0::/pods.slice/pod1/main\n",
            "sys/fs/cgroup/pods.slice/memory.max": f"{8 * GIB}\n",
            "sys/fs/cgroup/pods.slice/pod1/memory.max": f"{4 * GIB}\n",
            "sys/fs/cgroup/pods.slice/pod1/main/memory.max": "max\n",
            "sys/fs/cgroup/pods.slice/pod1/cpu.max": "max 100000\n",
            "sys/fs/cgroup/pods.slice/cpu.max": "50000 100000\n",
        }
    )
    assert memory_limit(root) == 4 * GIB
    assert core_limit(root) == 1


def test_a_container_of_version_1_whose_group_is_named_as_on_the_host(files) -> None:
    root = files(
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2 * GIB}\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        }
    )
    assert memory_limit(root) == 2 * GIB
    assert core_limit(root) == 3


@pytest.mark.parametrize(
    "contents",
    [
        {},
        {"proc/self/cgroup": "0::/\n"},
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"},
        {"proc/self/cgroup": "1:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n"},
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "damaged\n"},
    ],
)
def test_what_limits_nothing(files, contents: dict[str, str]) -> None:
    root = files(contents)
    assert (memory_limit(root), core_limit(root)) == (None, None)


def test_a_machine_is_no_larger_than_its_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory_limit", lambda: GIB)
    monkeypatch.setattr(machine, "core_limit", lambda: 1)
    here = machine.this_machine()
    assert (here.memory_bytes, here.cores) == (GIB, 1)
    monkeypatch.setattr(machine, "memory_limit", lambda: 1 << 62)  # version 1 writes no "max"
    assert machine.this_machine().memory_bytes == psutil.virtual_memory().total
