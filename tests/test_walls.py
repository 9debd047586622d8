"""Import walls: the package itself is light, and each heavy dependency has one door."""

import subprocess
import sys

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
        "import frostline",
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
