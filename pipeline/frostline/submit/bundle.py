"""What a submitted job takes along: the program, the study file and the folder it lies in.

In: the study's path. Out: a folder that Ray uploads: `pipeline/`, and `study/` with a copy
of the study's folder, where its builders and what they read are looked for. Left out are hidden
files, virtual environments, caches, and what sweeps wrote. Refuses more than `LIMIT_BYTES`, naming
the largest files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from frostline.errors import StorageError, UsageError
from frostline.launch import PACKAGE

LIMIT_BYTES = 100 * 1024**2
"""Ray keeps uploads in the memory of the head node, and takes 512 MiB at the most."""

STUDY_FOLDER = "study"
SOURCE_ROOT = "pipeline"
"""Folder of the program in the bundle; the job finds it through `PYTHONPATH`."""

_LEFT_OUT = frozenset({"__pycache__", "node_modules", "venv"})
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A folder to upload.

    Attributes:
        folder: absolute.
        study: the study file in it, relative.
        size_bytes: of its files.
        left_out: folders and links of the study's folder that stay here, by name.
    """

    folder: Path
    study: str
    size_bytes: int
    left_out: tuple[str, ...]


def pack(study: Path, folder: Path) -> Bundle:
    """Fill an empty folder with what the job of a study file takes along.

    Raises:
        UsageError: it would be too large.
        StorageError: it cannot be copied.
    """
    study = study.resolve()  # what a link leads to, under its own name
    home = study.parent
    left_out: list[str] = []
    found = [(PACKAGE, f"{SOURCE_ROOT}/{PACKAGE.name}"), (home, STUDY_FOLDER)]
    wanted: list[tuple[Path, Path]] = []
    sizes: dict[Path, int] = {}
    size_bytes = 0
    try:
        for source, name in found:
            for path in _files(source, left_out, study=study, skip=(PACKAGE,)):
                wanted.append((path, folder / name / path.relative_to(source)))
                sizes[path] = path.stat().st_size
                size_bytes += sizes[path]
                if size_bytes > LIMIT_BYTES:
                    raise _too_large(sizes)
        for path, target in wanted:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    except OSError as error:
        raise StorageError(
            f"cannot gather what the job needs: {error}; see that {home} can be read and that the "
            "folder for temporary files (TMPDIR) has space"
        ) from error
    return Bundle(
        folder=folder,
        study=f"{STUDY_FOLDER}/{study.name}",
        size_bytes=size_bytes,
        left_out=tuple(sorted(left_out)),
    )


def _files(home: Path, left_out: list[str], *, study: Path, skip: Sequence[Path]) -> Iterator[Path]:
    """The files to take along, in order; and the folders and links to mention as left out.

    Raises:
        OSError: a folder cannot be read.
    """
    for at, folders, names in os.walk(home, onerror=_raise):
        here = Path(at)
        kept = []
        for name in sorted(folders):
            path = here / name
            if name.startswith(".") or name in _LEFT_OUT or path in skip:
                continue
            if path.is_symlink() or (path / "pyvenv.cfg").exists() or _is_sweep(path):
                left_out.append(str(path.relative_to(home)))
            else:
                kept.append(name)
        folders[:] = kept
        for name in sorted(names):
            path = here / name
            hidden = name.startswith(".") and path != study
            if not hidden and not name.endswith(".pyc") and path.is_file():
                yield path


def _raise(error: OSError) -> None:
    raise error


def _is_sweep(path: Path) -> bool:
    return (path / "manifest.json").is_file() and (path / "study.toml").is_file()


def _too_large(sizes: dict[Path, int]) -> UsageError:
    largest = sorted(sizes, key=lambda path: -sizes[path])[:_SHOWN]
    listed = ", ".join(f"{path} ({sizes[path] / 1024**2:.0f} MiB)" for path in largest)
    return UsageError(
        f"the study's folder is too large to submit: more than {LIMIT_BYTES // 1024**2} MiB, among "
        f"it {listed}. Move the study and its builders into a folder of their own, and have the "
        "cluster read data and weights from shared storage"
    )
