"""What a model's facts depend on, and whether it is still the same. Reads files, builds nothing.

In: what was asked for, and the files and libraries that building the model took. Out: `MadeFrom`,
and later the reason why it no longer holds. A builder may depend on something else, such as an
environment variable or the answer of a server. Such a change is not detected: after it,
`OUT/models/<model>.json` has to be deleted. The trials' freeze check would refuse such a model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path

from frostline.digest import digest_of
from frostline.facts.model_facts import MadeFrom
from frostline.installed import PYTHON, installed
from frostline.launch import PACKAGE
from frostline.trial import ModelSpec, Setting

_ALWAYS = (PYTHON, "tensorflow", "tensorflow-cpu", "keras", "numpy")
_HOME = "~/"
_HASHED_BYTES = 16 << 20
"""Larger files (weights, data) are told apart by size and time of change."""


def made_from(
    model: ModelSpec,
    setting: Setting,
    *,
    seed: int,
    files: Iterable[Path],
    libraries: Iterable[str] = (),
) -> MadeFrom:
    """What facts depend on, as of now.

    `files` are the absolute paths of what was read, this program and libraries excepted;
    `libraries` are the distributions that the builder took beside TensorFlow and Keras.
    """
    return MadeFrom(
        asked=_asked(model, setting, seed),
        program=program(),
        versions=installed(sorted({*_ALWAYS, *libraries})),
        files={_short(path, model.search_path): _mark(path) or "" for path in sorted(files)},
    )


def outdated(known: MadeFrom | None, model: ModelSpec, setting: Setting, *, seed: int) -> str:
    """Why facts may no longer hold, in words; empty when they do.

    `known` is what they were made from; model, setting and seed are those of the study now.
    """
    if known is None:
        return "nothing says what its facts were made from"
    if known.asked != _asked(model, setting, seed):
        return "its entry in the study, the first setting or the seed has changed"
    if known.program != program():
        return "Frostline itself has changed"
    now = installed({*_ALWAYS, *known.versions})
    for name in sorted(now.keys() | known.versions.keys()):
        if now.get(name) != known.versions.get(name):
            there = now.get(name, "gone")
            return f"{name} is {there}, and was {known.versions.get(name, 'not there')}"
    for name, mark in known.files.items():
        if not mark:
            return f"{name} cannot be compared"
        if _mark(_long(name, model.search_path)) != mark:
            return f"{name} has changed"
    return ""


@cache
def program() -> str:
    """Digest of this program's source files."""
    root = PACKAGE
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _asked(model: ModelSpec, setting: Setting, seed: int) -> str:
    return digest_of([model.identity, asdict(setting), seed], spaced=True)


def _mark(path: Path) -> str | None:
    """A mark that changes with a file's content; None where the file cannot be read."""
    try:
        seen = path.stat()
        if seen.st_size > _HASHED_BYTES:
            return f"{seen.st_size} bytes of {seen.st_mtime_ns}"
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _short(path: Path, search_path: Sequence[str]) -> str:
    """A file's path, relative to the study's folder or to home where one of them holds it.

    Any other file goes by its absolute path, though that names this machine: nothing else tells
    where to look at it again without building the model.
    """
    if search_path and path.is_relative_to(search_path[0]):
        return path.relative_to(search_path[0]).as_posix()
    home = _home()
    if home is not None and path.is_relative_to(home):
        return f"{_HOME}{path.relative_to(home).as_posix()}"
    return path.as_posix()


def _long(name: str, search_path: Sequence[str]) -> Path:
    home = _home()
    if home is not None and name.startswith(_HOME):
        return home / name.removeprefix(_HOME)
    return Path(search_path[0]) / name if search_path else Path(name)


def _home() -> Path | None:
    """The home folder; None for a user without one, as in some containers."""
    with suppress(RuntimeError):
        return Path.home().resolve()
    return None
