"""Results where people keep them: flat files that any reader opens, and runs of tracking stores."""

from __future__ import annotations

import csv
import json
import sqlite3
import sys
from pathlib import Path

import duckdb
import fake_trackers
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import demo_rows
from report_kit import hostile, write_sweep

import frostline
from frostline.analyse import verdict
from frostline.cli import main
from frostline.errors import StorageError, UsageError
from frostline.exporting import TARGETS
from frostline.exporting.tracking import PARAMETERS, tracked_runs
from frostline.store.schema import TABLES, PredictionRow

DATA = Path(__file__).parent / "data" / "sweep_v1"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("sweep") / "out", map(hostile, demo_rows()))


@pytest.fixture(scope="module")
def flat(out: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("flat") / "parquet"
    done = frostline.export(out, "parquet", out=place)
    assert (done.written, done.where, done.next) == (3, str(place), "")
    return place


def test_every_reader_opens_the_flat_set(out: Path, flat: Path):
    sweep = frostline.open_sweep(out)
    for name in ("trials", "layers", "predictions"):
        stored = sweep.table(name).num_rows
        assert stored > 0
        found = pd.read_parquet(flat / f"{name}.parquet")
        assert len(found) == stored
        (rows,) = duckdb.sql(f"SELECT count(*) FROM '{flat}/{name}.parquet'").fetchall()
        assert rows == (stored,)


def test_units_and_meanings_are_in_the_metadata_of_every_column(flat: Path):
    for name in ("trials", "layers", "predictions"):
        schema = pq.read_schema(flat / f"{name}.parquet")
        known = {column.name: column for table in TABLES.values() for column in table}
        for field in schema:
            assert field.metadata[b"doc"], field.name
            if field.name.endswith("_ns"):
                assert field.metadata[b"unit"] == b"ns"
            if field.name in known and name == "trials":
                assert field.metadata[b"unit"].decode() == known[field.name].unit


def test_rows_are_complete_by_themselves(out: Path, flat: Path):
    rows = {row.trial_id: row for row in frostline.open_sweep(out).trial_rows()}
    for name in ("layers", "predictions"):
        for row in pq.read_table(flat / f"{name}.parquet").to_pylist():
            trial = rows[row["trial_id"]]
            assert row["policy"] == trial.policy
            assert row["batch_size"] == trial.batch_size
            assert row["is_control"] == trial.is_control


def test_the_noise_floor_is_the_final_one_and_verdicts_follow_from_it(out: Path, flat: Path):
    rows = {row.trial_id: row for row in frostline.open_sweep(out).trial_rows()}
    found = pq.read_table(flat / "trials.parquet").to_pylist()
    assert {round(row["noise_floor"], 4) for row in found} == {0.0204}
    for row in found:
        assert row["verdict"] == verdict(rows[row["trial_id"]], row["noise_floor"])
        for name, value in rows[row["trial_id"]].values().items():
            if name != "noise_floor":
                assert row[name] == (list(value) if isinstance(value, tuple) else value)


def test_csv_has_the_same_rows_and_a_file_of_its_columns(out: Path, flat: Path, tmp_path: Path):
    done = frostline.export(out, "csv", out=tmp_path / "csv")
    assert done.written == 4
    for name in ("trials", "layers", "predictions"):
        with (tmp_path / "csv" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        expected = pq.read_table(flat / f"{name}.parquet").to_pylist()
        assert [row["trial_id"] for row in rows] == [row["trial_id"] for row in expected]
        if name == "trials":
            for row, wanted in zip(rows, expected, strict=True):
                assert json.loads(row["frozen_layers"]) == wanted["frozen_layers"]
                assert row["policy"] == wanted["policy"]
                assert (row["speedup"] == "") == (wanted["speedup"] is None)
    with (tmp_path / "csv" / "columns.csv").open(newline="", encoding="utf-8") as file:
        units = {(row["table"], row["column"]): row["unit"] for row in csv.DictReader(file)}
    assert units["trials", "step_ns"] == "ns"
    assert units["layers", "forward_flops"] == "FLOP"


def test_the_default_place_is_in_the_sweep_and_stays_readable(tmp_path: Path, capsys):
    folder = write_sweep(tmp_path / "out", demo_rows())
    for _ in range(2):  # the second replaces the first
        assert main(["export", str(folder), "--to", "parquet"]) == 0
    assert f"3 files written to {folder}/export/parquet" in capsys.readouterr().out
    assert (folder / "export" / "parquet" / "trials.parquet").is_file()
    assert len(frostline.open_sweep(folder).commits) == 17


def test_older_sweeps_can_be_exported(tmp_path: Path, capsys):
    assert main(["export", str(DATA), "--to", "parquet", "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "parqet"], "parquet"),
        (["--to", "csv", "--out", "HERE"], "holds files that are no csv export"),
    ],
)
def test_mistakes_are_two(arguments: list[str], said: str, out: Path, tmp_path: Path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    arguments = [str(tmp_path) if each == "HERE" else each for each in arguments]
    assert main(["export", str(out), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.name[0] != "."] == ["mine.txt"]


@pytest.mark.parametrize(("to", "module"), [("mlflow", "mlflow"), ("wandb", "wandb")])
def test_a_missing_library_is_one_sentence(to, module, out, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match="is not installed: `pip install "):
        frostline.export(out, to, out=tmp_path)


# ---- Runs


def test_each_trial_is_a_run_with_what_was_measured(out: Path):
    sweep = frostline.open_sweep(out)
    rows = sweep.trial_rows()
    runs = {run.trial_id: run for run in tracked_runs(rows, sweep.rows(PredictionRow))}
    assert runs.keys() == sweep.commits.keys()
    for row in rows:
        run = runs[row.trial_id]
        assert run.ok == (row.status == "ok")
        assert run.metrics.get("speedup") == row.speedup
        assert run.metrics.get("step_ns") == row.step_ns
        assert run.ended_s - run.started_s == pytest.approx(row.duration_s)
        assert set(run.parameters) <= set(PARAMETERS)
        assert None not in run.metrics.values()
        assert ("predicted_speedup_three_anchor" in run.metrics) == run.ok
    (failed,) = (run for run in runs.values() if not run.ok)
    assert failed.tags["error"].startswith("FreezeCheck: ")
    assert len({run.key for run in runs.values()}) == len(runs)


@pytest.fixture(params=["real", "fake"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """Installs a stand-in for a tracking library, or asks for the real one."""

    def take(name: str) -> bool:
        if request.param == "real":
            pytest.importorskip(name, reason=f"{name} is not installed")
            return True
        for module, fake in fake_trackers.modules(name).items():
            monkeypatch.setitem(sys.modules, module, fake)
        return False

    return take


def test_mlflow_has_a_run_for_each_trial_and_none_twice(library, out: Path, tmp_path: Path):
    real = library("mlflow")
    done = frostline.export(out, "mlflow", out=tmp_path)
    assert (done.written, done.there) == (17, 0)
    assert done.next == f"mlflow ui --backend-store-uri sqlite:///{tmp_path}/mlflow.db"
    again = frostline.export(out, "mlflow", out=tmp_path)
    assert (again.written, again.there) == (0, 17)
    if real:
        speedups = _speedups_in(tmp_path / "mlflow.db")
        assert len(speedups) == 16
        assert ("all_but_head", 2.6) in speedups


def _speedups_in(database: Path) -> list[tuple[str, float]]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(
            "SELECT runs.name, metrics.value FROM runs JOIN metrics USING (run_uuid) "
            "WHERE metrics.key = 'speedup'"
        ).fetchall()
    finally:
        connection.close()


def test_a_file_where_mlflow_needs_a_folder_is_one_sentence(library, tmp_path: Path):
    library("mlflow")
    out = write_sweep(tmp_path / "out", demo_rows())
    (out / "export").write_text("in the way")
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        frostline.export(out, "mlflow")


def test_mlflow_without_what_keeps_its_database_says_what_to_install(
    monkeypatch, out: Path, tmp_path: Path
):
    class Incomplete:
        def __init__(self, tracking_uri: str) -> None:
            raise ModuleNotFoundError("No module named 'sqlalchemy'")

    for module, fake in fake_trackers.modules("mlflow").items():
        monkeypatch.setitem(sys.modules, module, fake)
    monkeypatch.setattr(sys.modules["mlflow"], "MlflowClient", Incomplete)
    with pytest.raises(UsageError, match="pip install mlflow-skinny sqlalchemy"):
        frostline.export(out, "mlflow", out=tmp_path)


def test_what_mlflow_cannot_use_is_one_sentence(library, out: Path):
    library("mlflow")
    with pytest.raises(StorageError, match="MLflow cannot use nowhere://x: "):
        frostline.export(out, "mlflow", out="nowhere://x")


def test_an_export_that_was_cut_short_goes_on(out: Path, tmp_path: Path, monkeypatch):
    for module, fake in fake_trackers.modules("mlflow").items():
        monkeypatch.setitem(sys.modules, module, fake)
    monkeypatch.setattr(fake_trackers.Client, "left", 5)
    with pytest.raises(StorageError, match="full"):
        frostline.export(out, "mlflow", out=tmp_path)
    monkeypatch.setattr(fake_trackers.Client, "left", 1_000)
    done = frostline.export(out, "mlflow", out=tmp_path)
    assert (done.written, done.there) == (12, 5)


def test_wandb_has_an_offline_run_for_each_trial_and_none_twice(library, tmp_path: Path):
    real = library("wandb")
    few = [row for row in demo_rows() if row["policy"] in ("prefix:1", "all_but_head")]
    folder = write_sweep(tmp_path / "out", few)
    done = frostline.export(folder, "wandb")
    place = folder / "export" / "wandb"
    assert (done.where, done.written, done.there) == (str(place), 2, 0)
    if real:
        assert len(list(place.glob("wandb/offline-run-*/*.wandb"))) == 2
    again = frostline.export(folder, "wandb")
    assert (again.written, again.there) == (0, 2)


def test_a_tracking_store_needs_a_folder(out: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match="choose one with --out FOLDER"):
        frostline.export(out, "wandb", out="mock://bucket/place")
    assert set(TARGETS) == {"parquet", "csv", "mlflow", "wandb"}
