"""Local scratch of leases: gone with its lease, and after a kill with the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from frostline.schedule.scratch import scratch_folder

HOLDER = """
import sys, time
from pathlib import Path
from frostline.schedule.scratch import scratch_folder
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
    other = tmp_path / f"frostline-lease-{os.getuid() + 1}-abc"
    other.mkdir()
    with scratch_folder(tmp_path):
        pass
    assert other.exists()
