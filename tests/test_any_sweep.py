"""Every command that reads a sweep, on sweeps of every kind: a clear word, the right exit code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from predict_kit import changed, profiled, world

from frostline.cli import main
from frostline.store.arrow import VERSION_KEY
from frostline.store.outdir import TrialTables
from frostline.trial import Trial

COMMANDS = {
    "report": ["report", "OUT"],
    "explain": ["explain", "OUT", "prefix:2"],
    "diff": ["diff", "OUT", "control 1", "prefix:2"],
    "recommend": ["recommend", "OUT", "--budget", "0.5"],
    "predict": ["predict", "OUT", "--freeze", "prefix:2"],
    "compare": ["compare", "OUT", "OUT"],
    "export": ["export", "OUT", "--to", "csv"],
    "tensorboard": ["tensorboard", "OUT"],
}
ABSENT = ("steps", "predictions")  # the built sweep has none
READERS = [name for name in COMMANDS if name != "tensorboard"]


def failed(rows: TrialTables) -> TrialTables:
    measured = dict.fromkeys((
        "step_ns", "baseline_step_ns", "speedup", "speedup_low", "speedup_high", "trace_steps",
    ))  # fmt: skip
    said = {"error_stage": "build", "error_type": "ValueError", "error_message": "no such layer"}
    without = replace(rows, op_costs=(), graph_ops=(), layers=())
    return changed(without, status="failed", **measured, **said)


def a_sweep(folder: Path, change: Callable[[Trial, TrialTables], TrialTables | None]) -> Path:
    return world(folder, "prefix:*", tamper=change)


def everything(folder: Path) -> Path:
    return a_sweep(folder, lambda _trial, rows: profiled(rows))


def empty(folder: Path) -> Path:
    return a_sweep(folder, lambda _trial, _rows: None)


def all_failed(folder: Path) -> Path:
    return a_sweep(folder, lambda _trial, rows: failed(rows))


def one_trial(folder: Path) -> Path:
    return a_sweep(
        folder, lambda trial, rows: profiled(rows) if trial.policy == "prefix:2" else None
    )


def newer(folder: Path) -> Path:
    manifest = everything(folder) / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema_version": 99}))
    return folder


def newer_file(table: str) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        *_, path = sorted((everything(folder) / "tables" / table).iterdir())
        rows = pq.read_table(path)
        metadata = {**(rows.schema.metadata or {}), VERSION_KEY: b"99"}
        pq.write_table(rows.replace_schema_metadata(metadata), path)
        return folder

    return made


def without(table: str) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        shutil.rmtree(everything(folder) / "tables" / table, ignore_errors=table in ABSENT)
        return folder

    return made


def no_sweep(folder: Path) -> Path:
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    return folder


def a_file(folder: Path) -> Path:
    folder.write_text("")
    return folder


def nothing(folder: Path) -> Path:
    return folder


def refusals() -> Iterator[object]:
    """Sweep, command, word: all of them are the user's mistake."""
    for make, word in (
        (newer, "upgrade frostline"), (no_sweep, "is no sweep: it has no manifest.json"),
        (a_file, "is a file"), (nothing, "does not exist"),
    ):  # fmt: skip
        for command in COMMANDS:
            yield pytest.param(make, command, word, id=f"{make.__name__}-{command}")
    none_yet = {"recommend": "no measured anchors", "predict": "no measured anchors"}
    for make in (empty, without("trials")):
        for command in READERS:
            word = none_yet.get(command, "is committed yet")
            yield pytest.param(make, command, word, id=f"{make.__name__}-{command}")
    for command in COMMANDS:
        word = "has schema version 99"
        yield pytest.param(newer_file("trials"), command, word, id=f"newer_trials-{command}")
    for command in ("explain", "diff", "recommend", "predict"):
        word = "has schema version 99"
        yield pytest.param(newer_file("op_costs"), command, word, id=f"newer_ops-{command}")
    for make, command, word in (
        (all_failed, "diff", "failed: no such layer; there are no ops to compare"),
        (all_failed, "recommend", "no measured anchors to recommend from"),
        (all_failed, "predict", "no measured anchors to predict from"),
        (one_trial, "diff", "no trial of this sweep is called 'control 1'"),
        (one_trial, "recommend", "no measured anchors to recommend from"),
        (one_trial, "predict", "no measured anchors to predict from"),
        (without("op_costs"), "diff", "no rows in the table op_costs"),
        (without("op_costs"), "recommend", "no measured anchors to recommend from"),
        (without("op_costs"), "predict", "no measured anchors to predict from"),
        (everything, "tensorboard", "has the sweep finished a trial?"),
    ):
        yield pytest.param(make, command, word, id=f"{make.__name__}-{command}-{word[:12]}")


def called(command: str, out: Path) -> int:
    return main([str(out) if each == "OUT" else each for each in COMMANDS[command]])


@pytest.mark.parametrize(("make", "command", "word"), list(refusals()))
def test_what_cannot_be_answered_is_refused_with_a_word(
    make: Callable[[Path], Path], command: str, word: str, tmp_path: Path, capsys
) -> None:
    assert called(command, make(tmp_path / "out")) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert word in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("make", "command", "word"),
    [
        (all_failed, "explain", "ValueError"),
        (one_trial, "explain", "controls"),
        (without("op_costs"), "explain", "frostline reattribute OUT"),
        (without("layers"), "explain", "prefix:2"),
        (without("steps"), "explain", "prefix:2"),
        (without("graph_ops"), "explain", "prefix:2"),
        (without("layers"), "diff", "all ops 14.24 9.57 -4.67"),
        (without("layers"), "recommend", "layer.trainable = False"),
        (without("layers"), "predict", "prefix:2"),
        (without("predictions"), "predict", "prefix:2"),
        (all_failed, "compare", "No configuration of the same model and setting"),
        (without("op_costs"), "compare", "Nothing is predicted for B: no control of it left"),
        (newer_file("op_costs"), "compare", "Nothing is predicted for B: "),
        (all_failed, "export", "4 files written"),
        (without("layers"), "export", "4 files written"),
        (without("predictions"), "export", "4 files written"),
        (without("steps"), "recommend", "layer.trainable = False"),
    ],
)
def test_what_can_be_answered_is(
    make: Callable[[Path], Path], command: str, word: str, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert called(command, make(tmp_path / "out")) == 0
    assert word in " ".join(capsys.readouterr().out.split())
