"""Which backend Keras was told to use; asked without importing Keras.

As Keras finds it: `KERAS_BACKEND`, else the configuration file in `KERAS_HOME` or `~/.keras`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from frostline.errors import UsageError


def refuse_other_backends() -> None:
    """Raise where Keras was told to use JAX or torch, whose steps cannot be measured here.

    Raises:
        UsageError: says where that stands and what to change.
    """
    named = os.environ.get("KERAS_BACKEND")
    source = f"KERAS_BACKEND={named}"
    if not named:
        home = os.environ.get("KERAS_HOME")
        folder = home or os.path.expanduser("~/.keras")  # noqa: PTH111 - also without a home
        file = Path(folder) / "keras.json"
        named, source = _in_file(file), f"`backend` in {file}"
    if named and named != "tensorflow":
        raise UsageError(
            f"Keras is told to use {named} ({source}), and what is measured here are TensorFlow's "
            "training steps: if the models train under TensorFlow as well, set "
            "KERAS_BACKEND=tensorflow"
        )


def _in_file(file: Path) -> str | None:
    try:
        found = json.loads(file.read_text()).get("backend")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None
