"""Modules of the user's that bear our names, or the standard library's, change nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_head import Head

import frostline
from frostline import open_sweep
from frostline.launch import command

THEIRS = {
    "pipeline/__init__.py": "WIDTH = 3\n",
    "pipeline/models.py": "raise RuntimeError('this is no builder of anybody')\n",
    "jobs.py": "EXTRA = 1\n",
    "trace.py": "NAME = 'theirs'\n",
    "frostline_models.py": """
import sys
import frostline
import jobs
import keras
import pipeline
import trace

def net():
    assert (pipeline.WIDTH, jobs.EXTRA, trace.NAME) == (3, 1, "theirs")
    print("source:", frostline.__file__)
    print("path:", *sys.path, sep="|")
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(pipeline.WIDTH + jobs.EXTRA), keras.layers.Dense(2)]
    )
""",
}
WRONG = "raise RuntimeError('the working directory is no place to import from')\n"
AT_WORK = dict.fromkeys((*THEIRS, "frostline/__init__.py"), WRONG)
STUDY = """
name = "names of their own"
[[model]]
name = "net"
builder = "frostline_models:net"
[train]
batch_size = [8]
[freeze]
policies = ["prefix:1"]
anchors = false
[measure]
min_pairs = 3
max_pairs = 3
profile_steps = 2
[resources]
gpus_per_trial = 0
cpus_per_trial = 1
"""


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return written(tmp_path / "mine", {**THEIRS, "study.toml": STUDY}) / "study.toml"


@pytest.fixture
def at_work(tmp_path: Path) -> Path:
    return written(tmp_path / "work", AT_WORK)


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    head = Head.start({})
    try:
        yield head
    finally:
        head.end()


def run(arguments: list[str], at_work: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command as its script does: the working directory is no part of the module path."""
    return subprocess.run(
        [sys.executable, "-P", "-c", "import sys; from frostline.cli import main; sys.exit(main())",
         *arguments],
        cwd=at_work, env=os.environ | variables, capture_output=True, text=True, check=False,
    )  # fmt: skip


def said_by_builder(out: Path, word: str) -> set[str]:
    lines = [line for log in (out / "logs").glob("*.log") for line in log.read_text().splitlines()]
    return {line.removeprefix(f"{word}:").strip() for line in lines if line.startswith(f"{word}:")}


def statuses(out: Path) -> list[tuple[str, str | None]]:
    return [(row.status, row.error_message) for row in open_sweep(str(out)).trial_rows()]


@pytest.mark.tf
@pytest.mark.cluster
def test_a_sweep_among_modules_of_the_same_names(
    study: Path, at_work: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run(["sweep", str(study), "--out", str(out)], at_work)
    assert done.returncode == 0, done.stderr
    assert statuses(out) == [("ok", None)] * 4
    assert said_by_builder(out, "source") == {frostline.__file__}
    (path,) = said_by_builder(out, "path")
    folders = path.strip("|").split("|")
    assert folders[0] == str(study.parent)
    assert str(at_work) not in folders
    assert folders.count(str(study.parent)) == 1


@pytest.mark.tf
@pytest.mark.cluster
def test_a_job_among_modules_of_the_same_names_runs_the_source_that_was_uploaded(
    head: Head, study: Path, at_work: Path, tmp_path: Path
) -> None:
    out, token = tmp_path / "out", tmp_path / "token"
    token.write_text(head.token)
    token.chmod(0o600)
    where = ["--address", head.address, "--token-file", str(token)]
    done = run(["submit", str(study), "--out", str(out), "--wait", *where], at_work)
    assert done.returncode == 0, done.stderr
    assert statuses(out) == [("ok", None)] * 4
    (source,) = said_by_builder(out, "source")
    assert Path(source).is_relative_to(head.folder), "the copy on the node is not installed there"
    assert source.endswith("/pipeline/frostline/__init__.py")


@pytest.mark.parametrize("variables", [{}, {"PYTHONPATH": "{work}"}])
def test_a_child_process_runs_this_package(variables: dict[str, str], at_work: Path) -> None:
    (at_work / "ask.py").write_text("import frostline; print(frostline.__file__)\n")
    variables = {name: value.format(work=at_work) for name, value in variables.items()}
    done = subprocess.run(
        command("frostline.errors"), cwd=at_work, env=os.environ | variables,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    if variables:  # a module of theirs, and ours beside it
        done = subprocess.run(
            command("ask"), cwd=at_work, env=os.environ | variables,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == frostline.__file__
