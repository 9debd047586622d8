"""The name that the package had before version 0.2.0: `pipeline`, where an OUT still uses it.

Only in an OUT that was begun then (`Manifest.begun_as_pipeline`) does `pipeline.models:` mean the
ready-made models; anywhere else it is a module of the user's.
"""

from __future__ import annotations

_NOW, _FORMER = "frostline.models:", "pipeline.models:"


def current(builder: str) -> str:
    """The builder as it is called now."""
    return _NOW + builder.removeprefix(_FORMER) if builder.startswith(_FORMER) else builder


def former(builder: str) -> str:
    """The builder as it was called then; trial ids of such an OUT go by it."""
    return _FORMER + builder.removeprefix(_NOW) if builder.startswith(_NOW) else builder


def advice(builder: str) -> str:
    """What to say where a ready-made model under its former name is not found."""
    return f"write `{current(builder)}`: the package is called frostline"
