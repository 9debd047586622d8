"""Which versions of Python and of libraries a process runs with, as pip knows them."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata

PYTHON = "python"


def installed(names: Iterable[str]) -> dict[str, str]:
    """Versions by name, in the order asked for; what is not installed is left out.

    Args:
        names: of distributions, as pip spells them; `python` stands for the interpreter.
    """
    found = {}
    for name in names:
        if name == PYTHON:
            found[name] = platform.python_version()
            continue
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
