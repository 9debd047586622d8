"""The command line's own edges: wrong use, Ctrl-C while it starts, limits, a report elsewhere."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from frostline.cli import main
from frostline.cli.console import complain
from frostline.launch import source_root

DATA = Path(__file__).parent / "data" / "sweep_v1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["\x1b[2Jx"], r"No such command '\x1b[2Jx'"),
        (["report", "--\u202ex"], r"No such option: --\u202ex"),
        (["report", "a", "\x9bb"], r"unexpected extra argument(s) (\x9bb)"),
        (["plan", "--workers", "[/x]"], "Invalid value for '--workers'"),
    ],
)
def test_wrong_use_is_told_in_one_way(arguments: list[str], said: str, capsys):
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    usage, error, advice = shown.err.splitlines()
    assert usage.startswith("Usage: frostline")
    assert error.startswith("error: ")
    assert said in error
    assert advice.endswith("--help` lists what it takes")


def started(tmp_path: Path, stand_in: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m frostline --help` with a module of the name `typer` that does something else."""
    (tmp_path / "typer.py").write_text(stand_in)
    path = os.pathsep.join((str(tmp_path), source_root()))
    return subprocess.run(
        [sys.executable, "-m", "frostline", "--help"],
        env=os.environ | {"PYTHONPATH": path} | environment,
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_ctrl_c_during_imports_ends_it_without_a_traceback(tmp_path: Path):
    done = started(tmp_path, "raise KeyboardInterrupt")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_defects_traceback_does_not_act_on_the_terminal(tmp_path: Path):
    stand_in = (
        "import sys\n"
        "import frostline.cli\n"
        "def main():\n    raise RuntimeError('\\x1b]52;c;x\\x07')\n"
        "frostline.cli.main = main\n"
    )
    (tmp_path / "sitecustomize.py").write_text(stand_in)
    done = subprocess.run(
        [sys.executable, "-m", "frostline"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), source_root()))},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert r"RuntimeError: \x1b]52;c;x\x07" in done.stderr
    assert "\x1b" not in done.stderr


def test_a_terminal_of_few_characters_gets_escapes():
    program = "import sys; from frostline.cli import main; sys.exit(main(['report', sys.argv[1]]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "Zürich漢"],
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": source_root()},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert r"error: Z\xfcrich\u6f22 does not exist" in done.stderr


def test_a_limit_under_which_nothing_can_be_drawn_is_told():
    command = f"ulimit -v 8000000; exec {sys.executable} -m frostline report {DATA}"
    done = subprocess.run(
        ["bash", "-c", command],
        env=os.environ | {"PYTHONPATH": source_root()},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "figures cannot be drawn under `ulimit -v 8000000`" in done.stderr


@pytest.mark.parametrize(
    "error", [MemoryError(), ImportError("x.so: failed to map segment from shared object")]
)
def test_too_little_memory_is_told(error: Exception, monkeypatch: pytest.MonkeyPatch, capsys):
    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr("frostline.store.sweep.open_sweep", fail)
    assert main(["report", "out"]) == 1
    assert "there is not enough memory" in capsys.readouterr().err


def test_a_complaint_is_its_text_alone(capsys):
    complain("[red]x[/red]\x1b")
    assert capsys.readouterr().err == "error: [red]x[/red]\\x1b\n"


def digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        found.update(str(path).encode() + (path.read_bytes() if path.is_file() else b""))
    return found.hexdigest()


def test_a_report_goes_elsewhere_where_out_must_not_change(tmp_path: Path, capsys):
    before, place = digest(DATA), tmp_path / "report of mine"
    for _ in range(2):  # a report is drawn over an older one
        assert main(["report", str(DATA), "--out", str(place)]) == 0
        said = capsys.readouterr().out
        assert said.splitlines()[-1] == f"Report: {place}/index.html"
    assert digest(DATA) == before
    assert "chain" in (place / "index.html").read_text()
    assert list((place / "figures").glob("*.svg"))


def test_a_report_does_not_go_among_other_files(tmp_path: Path, capsys):
    (tmp_path / "index.html").write_text("mine")
    assert main(["report", str(DATA), "--out", str(tmp_path)]) == 2
    assert "holds files that are no report's (index.html)" in capsys.readouterr().err
    assert (tmp_path / "index.html").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_a_name_that_is_no_utf8_is_told(capsys):
    assert main(["report", "\udcff\x1b"]) == 2
    assert r"error: \udcff\x1b: the name is not UTF-8" in capsys.readouterr().err
