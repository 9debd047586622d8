"""Import walls: the package itself is light, and each heavy dependency has one door."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("tensorflow", "keras", "ray", "xprof", "pyarrow", "duckdb", "altair", "scipy", "pandas")


def imported_by(statement: str) -> set[str]:
    """Heavy packages in `sys.modules` of a fresh interpreter after the statement."""
    program = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    return loaded & set(HEAVY)


@pytest.mark.parametrize(
    "statement",
    [
        "import frostline; frostline.FrostlineError, dir(frostline)",
        "import frostline.cli",
        "import frostline.plan.trials, frostline.facts.model_facts, frostline.measure.messages",
        "import frostline.study.study",
        "import frostline.doctor",
        "import frostline.tensorboard.server",
    ],
)
def test_imports_nothing_heavy(statement: str):
    assert imported_by(statement) == set()


def test_the_probe_sees_what_is_imported():
    assert imported_by("import pyarrow") == {"pyarrow"}


@pytest.mark.parametrize("module", ["frostline.store.sweep", "frostline.reporting.write"])
def test_readers_of_a_sweep_import_neither_tensorflow_nor_ray(module: str):
    assert imported_by(f"import {module}") & {"tensorflow", "keras", "ray", "xprof"} == set()


ROOT = Path(__file__).parents[1]
BREACHES = {
    "floors": ("store/faults.py", "import frostline.sweep.run"),
    "circles": ("words.py", "import frostline.analyse.answer"),
    "jobs": ("errors.py", "import jobs.sweep"),
    "ray": ("measure/arm.py", "import ray"),
    "tensorflow": ("trace/ops.py", "import keras"),
    "xprof": ("measure/arm.py", "import xprof"),
    "tensorboard": ("measure/arm.py", "import tensorboard"),
    "figures": ("analyse/groups.py", "import altair"),
}


@pytest.mark.parametrize("wall", BREACHES)
def test_a_breach_of_a_wall_is_found(wall: str, tmp_path: Path):
    """Also where it is imported for type checking alone."""
    for folder in ("pipeline", "jobs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    name, statement = BREACHES[wall]
    file = tmp_path / "pipeline" / "frostline" / name
    with file.open("a") as opened:
        opened.write(f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {statement}\n")
    done = lint_imports(tmp_path, wall)
    assert done.returncode == 1, done.stdout
    assert "1 broken" in done.stdout
    assert f".{name.removesuffix('.py').replace('/', '.')}" in done.stdout


def test_the_walls_stand():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


def test_parquet_has_one_door(tmp_path: Path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for room in ("store", "analyse"):
        file = tmp_path / "pipeline" / "frostline" / room / "new.py"
        file.parent.mkdir(parents=True)
        file.write_text("from pyarrow import parquet\n")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--no-cache", "."],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "analyse/new.py" in done.stdout
    assert "store/new.py" not in done.stdout


def lint_imports(root: Path, *walls: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports_command as lint; lint()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache", *(f"--contract={wall}" for wall in walls)],
        cwd=root, env=os.environ | {"PYTHONPATH": f"{root / 'pipeline'}{os.pathsep}{root}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
