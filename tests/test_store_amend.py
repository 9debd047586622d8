"""Amending a committed trial: what is computed later is added, and nothing else moves."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3_kit import S3

from frostline.errors import StorageError
from frostline.store.arrow import TableDefectError
from frostline.store.outdir import Amendment, OutDir
from frostline.store.sweep import open_sweep
from frostline.store.table_files import table_file


@pytest.fixture
def out(make_sweep) -> OutDir:
    return OutDir.open(str(make_sweep()), create=False)


@pytest.fixture
def trial_id(out: OutDir) -> str:
    return next(iter(out.commits()))


def prediction(trial_id: str, step_ns: int) -> dict:
    return {
        "trial_id": trial_id, "predictor": "three_anchor", "is_anchor": False,
        "predicted_step_ns": step_ns,
    }  # fmt: skip


def row_of(out: OutDir, trial_id: str) -> dict:
    rows = open_sweep(out.address.reveal()).trials().to_pylist()
    return next(row for row in rows if row["trial_id"] == trial_id)


def test_a_table_and_a_column_are_replaced_and_the_rest_stays(out: OutDir, trial_id: str) -> None:
    before, commits = row_of(out, trial_id), out.commits()
    for step_ns in (5, 6):
        out.amend(
            trial_id,
            tables={"predictions": [prediction(trial_id, step_ns)]},
            columns={"predicted_step_ns": step_ns},
        )
    assert row_of(out, trial_id) == before | {"predicted_step_ns": 6}
    assert out.commits() == commits
    (row,) = open_sweep(out.address.reveal()).table("predictions").to_pylist()
    assert row["predicted_step_ns"] == 6

    out.amend(trial_id, tables={"predictions": ()}, columns={"predicted_step_ns": None})
    assert open_sweep(out.address.reveal()).table("predictions").to_pylist() == []
    assert row_of(out, trial_id) == before


def test_columns_of_a_later_version_survive(out: OutDir, trial_id: str) -> None:
    file = Path(out.files.path(table_file("trials", trial_id)))
    stored = pq.read_table(file).drop_columns(["predicted_step_ns"])
    pq.write_table(stored.append_column("carbon_grams", pa.array([1.5])), file)
    out.amend(trial_id, tables={}, columns={"predicted_step_ns": 7})

    amended = pq.read_table(file).to_pylist()[0]
    assert (amended["carbon_grams"], amended["predicted_step_ns"]) == (1.5, 7)


@pytest.mark.parametrize(
    ("tables", "columns", "named"),
    [
        ({"predictions": [prediction("other", 1)]}, {}, "'other'"),
        ({"predictions": [{"trial_id": "x"}]}, {}, "predictor"),
        ({"trials": []}, {}, "published anew"),
        ({}, {"speed": 1.0}, "speed"),
        ({}, {"predicted_step_ns": 1.5}, "predicted_step_ns"),
        ({}, {"status": None}, "status"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    out: OutDir, trial_id: str, tables: dict, columns: dict, named: str
) -> None:
    before = row_of(out, trial_id)
    with pytest.raises(TableDefectError, match=named):
        out.amend(trial_id, tables=tables, columns=columns)
    assert row_of(out, trial_id) == before


def test_there_is_nothing_to_amend_without_a_commit(out: OutDir) -> None:
    with pytest.raises(StorageError, match="not there"):
        out.amend("net-none", tables={"predictions": [prediction("net-none", 1)]})
    assert open_sweep(out.address.reveal()).table("predictions").to_pylist() == []


def test_many_trials_are_amended_a_few_at_a_time(
    out: OutDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frostline.store.amendments._TOGETHER", 2)
    ids = sorted(out.commits())[:3]

    def amendment(trial_id: str, step_ns: int) -> Amendment:
        return Amendment(
            trial_id=trial_id,
            tables={"predictions": [prediction(trial_id, step_ns)]},
            columns={"predicted_step_ns": step_ns},
        )

    assert out.amend_all(map(amendment, ids, (1, 2, 3))) == 3
    found = open_sweep(out.address.reveal()).table("predictions").to_pylist()
    assert {row["trial_id"]: row["predicted_step_ns"] for row in found} == dict(
        zip(ids, (1, 2, 3), strict=True)
    )
    assert [row_of(out, each)["predicted_step_ns"] for each in ids] == [1, 2, 3]

    wanted = [amendment(ids[0], 7), amendment("gone", 8)]
    with pytest.raises(StorageError, match="gone"):
        out.amend_all(wanted)
    assert row_of(out, ids[0])["predicted_step_ns"] == 1, "neither of two that are written together"


def test_on_an_object_store_each_trial_gets_its_own_and_a_row_without_columns_stays(
    make_sweep, s3: S3
) -> None:
    out = OutDir.open(s3.uri("amended"), create=True)
    out.put_tree(Path(make_sweep()), "")
    ids = list(out.commits())
    kept = out.files.stamps("tables/trials")[f"{ids[0]}.parquet"]
    amendments = [
        Amendment(
            trial_id=trial_id,
            tables={"predictions": [prediction(trial_id, number)]},
            columns={"predicted_step_ns": number} if number else {},
        )
        for number, trial_id in enumerate(ids)
    ]
    assert out.amend_all(amendments) == len(ids) > 2
    rows = open_sweep(out.address.reveal()).table("predictions").to_pylist()
    assert {row["trial_id"]: row["predicted_step_ns"] for row in rows} == {
        trial_id: number for number, trial_id in enumerate(ids)
    }
    found = [row_of(out, trial_id)["predicted_step_ns"] for trial_id in ids]
    assert found[1:] == list(range(1, len(ids)))
    assert out.files.stamps("tables/trials")[f"{ids[0]}.parquet"] == kept
