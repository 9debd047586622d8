"""Runs a module of this package in a new interpreter, whatever modules the user's folders hold.

`python -m` puts the working directory first on the module path, and `PYTHONPATH` may name folders
of the user. A `frostline` or a `trace` there would be imported instead of this package's. So the
new interpreter leaves the working directory out (`-P`), loads the package from the folder of this
file, and only then runs the module. Everything else is found as Python finds modules.
"""

from __future__ import annotations

import importlib.util
import runpy
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent
"""The folder of this package."""


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module; for `subprocess`.

    Args:
        module: its full name; of this package, or one that `PYTHONPATH` leads to.
        arguments: what follows.
    """
    return [sys.executable, "-P", str(PACKAGE / "launch.py"), module, *arguments]


def source_root() -> str:
    """The folder that this package lies in: what a `PYTHONPATH` has to name to find it."""
    return str(PACKAGE.parent)


def _load_package() -> None:
    spec = importlib.util.spec_from_file_location(
        PACKAGE.name, PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{PACKAGE} is no package")
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE.name] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    _load_package()
    del sys.argv[0]  # `run_module` puts the module's own file there
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
