"""The folder of an embedded Ray: this user's alone, and gone with its run, however that ends."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from frostline.errors import UsageError
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
        assert stat.S_IMODE(folder.lstat().st_mode) == 0o700
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
