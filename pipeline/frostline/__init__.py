"""Frostline: what freezing layers does to a training step, measured, attributed and predicted.

`import frostline` alone imports none of the heavy dependencies; the names below are loaded when
they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from frostline.version import __version__

if TYPE_CHECKING:
    from frostline.store.sweep import open_sweep

__all__ = ["__version__", "open_sweep"]

_LOADED_ON_USE = {"open_sweep": "frostline.store.sweep"}


def __getattr__(name: str) -> object:
    """Load a public name from its module when it is first asked for."""
    if name not in _LOADED_ON_USE:
        raise AttributeError(f"module 'frostline' has no attribute {name!r}")
    return getattr(importlib.import_module(_LOADED_ON_USE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LOADED_ON_USE])
