"""Scratch folders: gone with their block, and after a kill with the next one."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from frostline import scratch as scratch_module
from frostline.errors import StorageError
from frostline.scratch import scratch_folder, temporary_folder

HOLDER = """
import sys, time
from pathlib import Path
from frostline.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "trace").write_bytes(b"x")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_folder_is_private_and_gone_at_the_end(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), scratch_folder(tmp_path) as folder:  # noqa: PT012
        assert list(tmp_path.iterdir()) == [folder]
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "trial").mkdir()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_dead_lease_is_tidied_up_after_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        theirs = Path(holder.stdout.readline().strip())
        with scratch_folder(tmp_path) as mine:
            assert theirs != mine
            assert (theirs / "trace").exists()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert theirs.exists()
    with scratch_folder(tmp_path) as mine:
        assert list(tmp_path.iterdir()) == [mine]


def test_what_is_somebody_elses_is_not_touched(tmp_path: Path) -> None:
    """What is no folder of this user's, with the mode of one, no lease of this user has made."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "thesis").write_text("x")
    base = tmp_path / "base"
    base.mkdir()
    (base / "frostline-lease-00000a").symlink_to(outside)
    (base / "frostline-lease-00000b").symlink_to(base / "nowhere")
    os.mkfifo(base / "frostline-lease-00000c")  # opening it would wait for a writer
    (base / "frostline-lease-00000d").write_text("x")
    (base / "frostline-lease-00000e").mkdir(mode=0o755)
    (base / "frostline-lease-notes").mkdir(mode=0o1700)
    (base / "frostline-demo-250131").mkdir(mode=0o700)  # an OUT of a careful user's
    (base / "frostline-spool-100000").mkdir(mode=0o700)
    if os.geteuid() == 0:
        (base / "frostline-lease-00000f").mkdir(mode=0o1700)
        os.chown(base / "frostline-lease-00000f", 4_000, 4_000)
    (base / "frostline-lease-000010").mkdir(mode=0o1700)  # of a dead lease
    before = set(base.iterdir())
    with scratch_folder(base):
        pass
    assert before - set(base.iterdir()) == {base / "frostline-lease-000010"}
    assert (outside / "thesis").exists()


STARTS = """
import sys
from pathlib import Path
from frostline.scratch import scratch_folder
for _ in range(300):
    with scratch_folder(Path(sys.argv[1])) as folder:
        (folder / "trace").write_bytes(b"x")
"""


def test_leases_that_start_at_the_same_time_leave_each_other_their_folders(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTS, str(tmp_path)]
    starting = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    said = [process.communicate()[1] for process in starting]
    assert said == [""] * 8
    assert [process.returncode for process in starting] == [0] * 8
    assert list(tmp_path.iterdir()) == []


def test_a_base_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nowhere \(No such file .* set TMPDIR"):
        scratch_folder(tmp_path / "nowhere").__enter__()


def test_no_folder_for_temporary_files_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(scratch_module.tempfile, "gettempdir", full)
    with pytest.raises(StorageError, match="free some space in /tmp, or set TMPDIR"):
        temporary_folder()


def test_a_process_that_hangs_while_it_tidies_up_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN a process that took a new folder for one of the dead, and is stopped before it goes."""
    names = iter(("aaaaaa", "bbbbbb"))
    monkeypatch.setattr(scratch_module.secrets, "token_hex", lambda _: next(names))
    make, held = Path.mkdir, []

    def made(folder: Path, mode: int = 0o777) -> None:
        make(folder, mode)
        if folder.name.endswith("aaaaaa"):
            held.append(os.open(folder, os.O_RDONLY))
            fcntl.flock(held[0], fcntl.LOCK_EX)

    monkeypatch.setattr(Path, "mkdir", made)
    with scratch_folder(tmp_path) as folder:
        assert folder.name.endswith("bbbbbb")
    os.close(held[0])
