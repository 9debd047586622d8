"""The folder of an embedded Ray: this user's alone, and gone with its run, however that ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from frostline.doctor.probes import ask_ray
from frostline.errors import RayUnavailableError, StorageError, UsageError
from frostline.schedule.lease_spec import Resources

ONE_CORE = Resources(gpus=0, cpus=1)
HELD = """
import time
from frostline.schedule.ray.embedded import embedded
with embedded(gpus=0):
    print("started", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files with a short path that is this test's own."""
    folder = Path(tempfile.mkdtemp(prefix="f", dir="/tmp"))
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


def shared() -> set[Path]:
    """What this process has in the folder that all Rays of all users of the machine share."""
    return set(Path("/tmp/ray").glob(f"session_*_{os.getpid()}"))


@pytest.mark.cluster
def test_rays_files_are_in_a_private_folder_that_goes_with_the_run(base: Path) -> None:
    """GIVEN the folder of a driver that was killed, and one that only looks like such a folder."""
    from frostline.schedule.ray.executor import RayExecutor

    own, victim = base / "frost-notes", base / "victim"
    own.mkdir(mode=0o700)
    victim.mkdir(mode=0o700)
    (victim / "thesis").write_text("x")
    (base / "frost-00000a").symlink_to(victim)
    before = {*base.iterdir()}
    others = shared()
    with subprocess.Popen([sys.executable, "-c", HELD], stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"started\n"
        (left,) = {*base.iterdir()} - before
        killed.send_signal(signal.SIGKILL)
    assert left.exists()

    with RayExecutor(ONE_CORE, gpus=0) as ray:
        assert ray.slots
        (folder,) = {*base.iterdir()} - before
        assert folder != left
        assert folder.lstat().st_mode & 0o777 == 0o700
        sockets = [path for path in folder.rglob("*") if path.is_socket()]
        assert {path.name for path in sockets} >= {"raylet", "plasma_store"}
        assert shared() == others

    assert {*base.iterdir()} == before
    assert (victim / "thesis").exists()


@pytest.mark.cluster
def test_a_temporary_folder_whose_path_is_too_long_is_refused(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frostline.schedule.ray.executor import RayExecutor

    def refused(folder: Path, message: str) -> None:
        monkeypatch.setenv("RAY_TMPDIR", str(folder))
        with RayExecutor(ONE_CORE, gpus=0) as ray, pytest.raises(UsageError, match=message):
            ray.slots  # noqa: B018

    room = 28 - len(str(base)) - 1
    long = base / ("x" * (room + 1))
    refused(long, rf"{long}, has too long a path .*29 bytes; 28 at most\): set RAY_TMPDIR")
    refused(base / ("x" * room), "Ray cannot have a folder below .*No such file.*set RAY_TMPDIR")
    assert list(base.iterdir()) == []
    (base / ("x" * room)).mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(base / ("x" * room)))
    with RayExecutor(ONE_CORE, gpus=0) as ray:
        assert ray.slots


WORKS = """
import ray
from frostline.schedule.ray.embedded import embedded
with embedded(gpus=0):
    print(ray.get(ray.remote(lambda: 3).remote(), timeout=240))
"""


def without_home(home: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "AUTH_TOKEN" not in name}
    return kept | {"HOME": home}


@pytest.mark.cluster
def test_a_home_that_takes_no_file_is_no_obstacle(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN a home in which nobody can make a file THEN Ray starts, as the doctor says."""
    done = subprocess.run(
        [sys.executable, "-c", WORKS], env=without_home("/proc"), capture_output=True, text=True,
        check=False, timeout=500,
    )  # fmt: skip
    assert done.stdout == "3\n", done.stderr
    monkeypatch.setenv("HOME", "/proc")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    assert ask_ray(thorough=False) is None
    assert list(base.iterdir()) == []


@pytest.mark.cluster
def test_the_doctor_refuses_what_a_sweep_refuses(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frostline.schedule.ray.embedded import ray_place

    for variable, value in (("RAY_TMPDIR", base / "nowhere"), ("XDG_RUNTIME_DIR", "/proc/1")):
        with monkeypatch.context() as patch:
            patch.setenv(variable, str(value))
            with pytest.raises(UsageError) as refused, ray_place():
                pass
            found = ask_ray(thorough=False)
        assert found is not None
        assert found.error == str(refused.value)
        assert str(value) in found.error


@pytest.mark.cluster
def test_a_full_disk_is_known_before_ray_starts(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frostline.schedule.ray.embedded import ray_place

    usage = shutil.disk_usage(base)._replace(free=1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with (
        pytest.raises(StorageError, match=r"has 1 MB of free space.* same command again"),
        ray_place(),
    ):
        pass
    assert list(base.iterdir()) == []


@pytest.mark.cluster
def test_a_ray_that_does_not_start_is_one_clear_error_and_leaves_nothing(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN a daemon of Ray's that ends at once THEN it is said, and the rest of Ray goes."""
    import ray

    from frostline.schedule.ray.executor import RayExecutor

    start = ray.init

    def half(**options: object) -> None:
        start(**options)
        raise RuntimeError("The current node timed out during startup.\nSome of its processes...")

    monkeypatch.setattr(ray, "init", half)
    children = {child.pid for child in psutil.Process().children()}
    with (
        RayExecutor(ONE_CORE, gpus=0) as executor,
        pytest.raises(
            RayUnavailableError, match=r"Ray did not start .*: The current node timed out"
        ),
    ):
        executor.slots  # noqa: B018
    assert not ray.is_initialized()
    left = [child for child in psutil.Process().children() if child.pid not in children]
    assert [child for child in left if child.status() != psutil.STATUS_ZOMBIE] == []
    assert list(base.iterdir()) == []


@pytest.mark.cluster
def test_a_ray_of_the_users_own_is_left_alone(base: Path) -> None:
    import ray

    from frostline.schedule.ray.embedded import embedded
    from frostline.schedule.ray.executor import RayExecutor

    with embedded(gpus=0):
        with RayExecutor(ONE_CORE, gpus=0) as executor, pytest.raises(UsageError, match="already"):
            executor.slots  # noqa: B018
        assert ray.is_initialized()
