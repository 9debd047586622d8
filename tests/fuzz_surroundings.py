"""Where an input of the fuzzer runs: a place of its own, in which nothing is measured or served.

In: a folder. Out: a block in which home, temporary files and the working directory lie there, no
worker, server or inspection is started, and output is caught.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

from predict_kit import world_facts

from frostline.errors import StorageError
from frostline.facts.model_facts import ModelFacts

_DRAWN = 0.03
"""Share of reports whose figures are drawn: drawing takes seconds, and comes after all reading."""


@contextmanager
def captured(out: io.TextIOWrapper, err: io.TextIOWrapper) -> Iterator[None]:
    with mock.patch.object(sys, "stdout", out), mock.patch.object(sys, "stderr", err):
        yield


def caught(stream: io.TextIOWrapper) -> str:
    stream.flush()
    content = stream.buffer.getvalue()  # type: ignore[attr-defined]
    return str(content.decode("utf-8"))


@contextmanager
def surroundings(chance: random.Random, place: Path) -> Iterator[None]:
    """A place of its own; nothing is measured, served or inspected, and seldom anything drawn."""
    from frostline.sweep import run as sweep_run

    run_sweep = sweep_run.run_sweep

    def swept(study: object, out: object, **options: object) -> object:
        options |= {"inspect": lambda study, _logs: _facts(study), "make_executor": _no_executor}
        return run_sweep(study, out, **options)  # type: ignore[arg-type]

    environment = {"HOME": str(place / "home"), "TMPDIR": str(place / "tmp"), "COLUMNS": "100",
                   "XDG_RUNTIME_DIR": str(place / "tmp")}  # fmt: skip
    where = Path.cwd()
    os.chdir(place / "here")
    patches = [
        mock.patch.dict(os.environ, environment),
        mock.patch.object(tempfile, "tempdir", str(place / "tmp")),
        mock.patch("frostline.tensorboard.server.TensorBoard", _NoTensorBoard),
        mock.patch("frostline.cli.plan.inspected", lambda study: (_facts(study), [])),
        mock.patch("frostline.cli.layers.inspected", lambda study: (_facts(study), [])),
        mock.patch("frostline.sweep.run.run_sweep", swept),
        mock.patch("frostline.reporting.make.make_report_apart", return_value="not drawn"),
    ]
    if chance.random() > _DRAWN:
        patches.append(mock.patch("frostline.reporting.write.render_figures"))
    try:
        for patch in patches:
            patch.start()
        yield
    finally:
        for patch in reversed(patches):
            patch.stop()
        os.chdir(where)


def _facts(study: object) -> dict[str, ModelFacts]:
    return {each.name: replace(world_facts(), name=each.name) for each in study.models}  # type: ignore[attr-defined]


def _no_executor(_resources: object) -> object:
    raise StorageError("nothing is measured here")


class _NoTensorBoard:
    def __init__(self, log_dir: Path, *, port: int, log: Path) -> None:
        self.port = port or 6006

    def __enter__(self) -> _NoTensorBoard:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def runs_on(self, _seconds: float) -> bool:
        return False


def digest(folder: Path) -> str:
    """What lies below a folder; opens regular files only."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        found.update(f"{path} {stat.S_IFMT(mode)}".encode("utf-8", "surrogateescape"))
        if stat.S_ISREG(mode):
            found.update(path.read_bytes())
    return found.hexdigest()
