"""An ordinary user with a home that takes no file, and two users who share a folder.

Root may do everything, so here the processes are other users'. Where the tests themselves run as an
ordinary user, that one is the first; a second cannot be had, and what needs one is skipped.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from schedule_kit import Fake

HERE = Path(__file__).parent
ROOT = os.geteuid() == 0
FIRST, SECOND, STRANGER, GROUP = 4_001, 4_002, 4_003, 4_000
PATHS = (HERE, HERE.parent / "pipeline", HERE.parent, sysconfig.get_path("purelib"))
LOCAL = """
import sys, test_schedule_sweep as kit
from pathlib import Path
result = kit.sweep(Path(sys.argv[1]))
print(result.ok, result.failed, result.finished_before)
"""
ON_RAY = """
import sys, test_schedule_sweep as kit
result = kit.run_sweep(
    kit.study(), sys.argv[1], inspect=kit.all_built, process_module=kit.FAKE
)
print(result.ok, result.failed, result.finished_before)
"""


@cache
def interpreter(uid: int) -> str:
    """A Python that this user may run with the packages of this one; empty where there is none."""
    version = "{}.{}".format(*sys.version_info)
    for each in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        if Path(each).exists() and _runs(each, uid):
            return each
    return ""


def _runs(python: str, uid: int) -> bool:
    command = [python, "-c", "import frostline, duckdb, pyarrow, psutil, pytest, schedule_kit"]
    who = {"user": uid, "group": GROUP, "extra_groups": []} if ROOT else {}
    environment = {"PYTHONPATH": os.pathsep.join(map(str, PATHS)), "PATH": os.environ["PATH"]}
    try:
        done = subprocess.run(
            command, env=environment, cwd="/", capture_output=True, check=False, **who
        )
    except PermissionError:
        return False
    return done.returncode == 0


@dataclass(frozen=True)
class User:
    """Somebody with a home that takes no file."""

    uid: int
    group: int
    home: Path
    temporary: Path

    @property
    def fake(self) -> Fake:
        return Fake(self.home / "fake")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {
            "PYTHONPATH": os.pathsep.join(map(str, PATHS)), "PATH": os.environ["PATH"],
            "HOME": str(self.home), "TMPDIR": str(self.temporary), "COLUMNS": "200",
            "FROSTLINE_FAKE": str(self.home / "fake"),
        }  # fmt: skip
        who = {"user": self.uid, "group": self.group, "extra_groups": []} if ROOT else {}
        return subprocess.Popen(
            [interpreter(self.uid), *arguments], env=environment, cwd="/", umask=0o002, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **who,
        )  # fmt: skip

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=500)
        return process.returncode, out, err

    def frostline(self, *arguments: str) -> tuple[int, str, str]:
        return self.run("-m", "frostline", *arguments)


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder that every user may enter, with a short path."""
    folder = Path(tempfile.mkdtemp(prefix="fu", dir="/tmp"))
    folder.chmod(0o755)
    (folder / "t").mkdir()
    (folder / "t").chmod(0o1777)
    yield folder
    for home in folder.glob("home-*"):
        home.chmod(0o700)
    shutil.rmtree(folder)


def user(base: Path, uid: int, group: int = GROUP) -> User:
    uid = uid if ROOT else os.geteuid()
    if not interpreter(uid):
        pytest.skip(f"user {uid} may not run this Python: {sys.executable} is closed to others")
    home = base / f"home-{uid}"
    (home / "fake").mkdir(parents=True)
    made = User(uid, group, home, base / "t")
    made.fake.behave({})
    if ROOT:
        for each in (home / "fake", *(home / "fake").iterdir()):
            os.chown(each, uid, group)
    home.chmod(0o555)
    return made


def second(base: Path, uid: int, group: int = GROUP) -> User:
    if not ROOT:
        pytest.skip("a second user needs root")
    return user(base, uid, group)


def shared_folder(base: Path) -> Path:
    """As the members of a group share one: what is made in it is the group's."""
    folder = base / "shared"
    folder.mkdir()
    if ROOT:
        os.chown(folder, 0, GROUP)
    folder.chmod(0o2775)
    return folder


@pytest.mark.parametrize("script", [LOCAL, pytest.param(ON_RAY, marks=pytest.mark.cluster)])
def test_an_ordinary_user_with_a_home_that_takes_no_file_sweeps(base: Path, script: str) -> None:
    someone = user(base, FIRST)
    out = str(shared_folder(base) / "out")
    code, said, err = someone.run("-c", script, out)
    assert (code, err) == (0, ""), said + err
    assert said.split()[1:] == ["0", "0"]

    code, said, err = someone.frostline("report", out)
    assert code == 0, err
    assert Path(out, "report", "index.html").exists()
    assert [each.name for each in (base / "t").iterdir() if "frost" in each.name] in (
        [], [f"frostline-{someone.uid}"],
    )  # fmt: skip
    assert {each.name for each in someone.home.iterdir()} == {"fake"}


def test_two_users_resume_and_draw_in_a_folder_that_they_share(base: Path) -> None:
    """GIVEN a sweep that one user began and that was killed THEN the other finishes it."""
    one, other, stranger = (
        user(base, FIRST), second(base, SECOND), second(base, STRANGER, STRANGER),
    )  # fmt: skip
    out = str(shared_folder(base) / "out")
    one.fake.behave({"prefix:2": ["hang"]})
    process = one.start("-c", LOCAL, out)
    end = time.monotonic() + 120
    while "prefix:2" not in one.fake.runs():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    code, _, err = other.run("-c", LOCAL, out)
    assert code != 0
    assert "is in use by process" in err
    process.send_signal(signal.SIGKILL)
    process.communicate()

    code, said, err = other.run("-c", LOCAL, out)
    assert (code, err) == (0, ""), said + err
    ok, failed, before = map(int, said.split())
    assert failed == 0
    assert 0 < before < ok
    for somebody in (one, other):
        code, _, err = somebody.frostline("report", out)
        assert code == 0, err
        code, _, err = somebody.frostline("reattribute", out)
        assert code == 0, err

    code, said, err = stranger.frostline("predict", out, "--freeze", "prefix:2")
    assert code in (0, 1, 2)
    assert "permission denied" not in err
    assert "Traceback" not in err
    for command in ("report", "reattribute"):
        code, _, err = stranger.frostline(command, out)
        assert code in (1, 2)
        assert "permission denied" in err
        assert "Traceback" not in err
