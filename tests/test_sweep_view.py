"""Reading a sweep back, the checked-in set of schema version 1 included."""

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import frostline
from frostline import open_sweep
from frostline.errors import StorageError, SweepError, UsageError
from frostline.store.arrow import reader_schema
from frostline.store.outdir import OutDir
from frostline.store.schema import TABLES

DATA = Path(__file__).parent / "data" / "sweep_v1"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The checked-in sweep, to be changed at will."""
    return Path(shutil.copytree(DATA, tmp_path / "sweep"))


def test_the_set_of_schema_version_1_reads_as_it_was_written() -> None:
    sweep = open_sweep(str(DATA))
    assert sweep.manifest.study == "chain"
    assert sweep.manifest.schema_version == 1
    assert len(sweep.commits) == 10
    assert list(sweep.commits.values()).count("failed") == 1
    by_policy = {row.policy: row for row in sweep.trial_rows()}
    assert by_policy["prefix:2"].frozen_layers == ("conv1", "conv2")
    assert by_policy["prefix:2"].frozen_params == 448 + 4_640
    assert by_policy["prefix:2"].started_at == datetime(2026, 1, 5, 9, 1, tzinfo=UTC)
    assert by_policy["prefix:2"].passes_ns == {
        "forward": 3_200_000, "activation_gradient": 90_000, "weight_gradient": 1_010_000,
        "optimizer": 430_000, "input": 0, "other": 250_000,
    }  # fmt: skip
    assert by_policy["norms"].error_stage == "check"
    assert by_policy["norms"].speedup is None
    assert by_policy["norms"].passes_ns is None
    assert sweep.table("steps").num_rows == 9 * 22
    assert sweep.table("graph_ops").num_rows == 16


def test_rows_of_an_interrupted_trial_are_left_out_everywhere() -> None:
    stored = pq.read_table(DATA / "tables" / "steps")["trial_id"].unique().to_pylist()
    assert "chain-layer-1-00ee" in stored
    sweep = open_sweep(str(DATA))
    for table in TABLES:
        assert "chain-layer-1-00ee" not in sweep.table(table)["trial_id"].to_pylist()
        assert sweep.sql(f"FROM {table} WHERE trial_id LIKE '%00ee'").fetchall() == []


def test_arrow_pandas_and_sql_agree() -> None:
    sweep = open_sweep(str(DATA))
    table = sweep.table("layers", columns=["trial_id", "layer", "params"])
    frame = sweep.df("layers")[["trial_id", "layer", "params"]]
    assert table.column_names == list(frame.columns)
    assert sorted(map(tuple, frame.to_numpy().tolist())) == sorted(
        sweep.sql("SELECT trial_id, layer, params FROM layers").fetchall()
    )
    assert frame["layer"].tolist() == table["layer"].to_pylist()


def test_sql_gives_times_in_utc_without_further_packages() -> None:
    found = open_sweep(str(DATA)).sql("SELECT min(started_at) FROM trials").fetchall()
    assert found == [(datetime(2026, 1, 5, 9, 0),)]


def test_columns_that_old_files_lack_read_as_null(copy: Path) -> None:
    for path in (copy / "tables" / "trials").iterdir():
        old = pq.read_table(path).drop_columns(["busy_ns", "aliases", "anchor"])
        pq.write_table(old, path)
    sweep = open_sweep(str(copy))
    assert sweep.trials().schema.names == [column.name for column in TABLES["trials"]]
    rows = sweep.trial_rows()
    assert {row.busy_ns for row in rows} == {None}
    assert {row.aliases for row in rows} == {()}
    assert sweep.sql("SELECT count(*) FROM trials WHERE anchor IS NULL").fetchall() == [(10,)]


def test_columns_of_a_later_program_are_passed_over(copy: Path) -> None:
    for path in (copy / "tables" / "steps").iterdir():
        rows = pq.read_table(path)
        pq.write_table(rows.append_column("later", pa.array([1] * len(rows))), path)
    assert "later" not in open_sweep(str(copy)).table("steps").column_names


def test_a_table_that_nothing_was_written_to_is_empty_with_its_columns(copy: Path) -> None:
    shutil.rmtree(copy / "tables" / "predictions")
    sweep = open_sweep(str(copy))
    assert sweep.table("predictions").schema == reader_schema("predictions")
    assert sweep.table("predictions").num_rows == 0
    assert sweep.sql("SELECT max(predicted_speedup) FROM predictions").fetchall() == [(None,)]


def test_a_sweep_without_a_commit_is_empty(tmp_path: Path) -> None:
    out = OutDir.open(str(tmp_path), create=True)
    out.begin_run('name = "demo"', "d", "demo", {})
    sweep = open_sweep(str(tmp_path))
    assert sweep.trial_rows() == []
    assert sweep.trials().num_rows == 0


def test_a_sweep_is_what_was_committed_when_it_was_opened(copy: Path) -> None:
    sweep = open_sweep(str(copy))
    (copy / "tables" / "trials" / "chain-later.parquet").write_bytes(b"not read")
    assert sweep.trials().num_rows == 10


def test_what_is_no_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=r"nowhere does not exist.*--out"):
        open_sweep(str(tmp_path / "nowhere"))
    with pytest.raises(SweepError, match=r"is no sweep: it has no manifest\.json"):
        open_sweep(str(tmp_path))
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(SweepError, match=r"manifest\.json is damaged"):
        open_sweep(str(tmp_path))


def test_unknown_tables_columns_and_queries_name_the_nearest() -> None:
    sweep = open_sweep(str(DATA))
    with pytest.raises(SweepError, match=r"no table 'trial'\. Did you mean `trials`"):
        sweep.table("trial")
    with pytest.raises(SweepError, match=r"no column 'speed_up'\. Did you mean `speedup`"):
        sweep.table("trials", columns=["speed_up"])
    with pytest.raises(SweepError, match=r"(?s)query does not work.*the tables are trials, steps"):
        sweep.sql("SELECT nothing FROM trials")


def test_damaged_files_are_named(copy: Path) -> None:
    (copy / "tables" / "steps" / "chain-prefix-1-0001.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(StorageError, match=r"tables/steps is damaged.*chain-prefix-1-0001"):
        open_sweep(str(copy)).table("steps")


def test_a_file_of_wrong_types_is_refused(copy: Path) -> None:
    path = copy / "tables" / "steps" / "chain-prefix-1-0001.parquet"
    rows = pq.read_table(path)
    words = pa.array(["long"] * len(rows))
    index = rows.schema.get_field_index("step_ns")
    pq.write_table(rows.set_column(index, "step_ns", words), path)
    with pytest.raises(StorageError, match="tables/steps is damaged"):
        open_sweep(str(copy)).table("steps")


def test_pandas_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pip install pandas"):
        open_sweep(str(DATA)).df("trials")


def test_the_bare_import_is_light_and_the_name_is_there_on_use() -> None:
    code = (
        "import sys, frostline\n"
        "heavy = {'pyarrow', 'duckdb', 'numpy', 'pandas', 'scipy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert 'open_sweep' in dir(frostline)\n"
        "assert frostline.open_sweep.__module__ == 'frostline.store.sweep'\n"
        "assert 'tensorflow' not in sys.modules and 'ray' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = frostline.nonsense


def test_a_folder_whose_name_looks_like_a_pattern_is_read_all_the_same(tmp_path: Path) -> None:
    copy = shutil.copytree(DATA, tmp_path / "sweep[1]*")
    sweep = open_sweep(str(copy))
    assert sweep.trial_rows() == open_sweep(str(DATA)).trial_rows()
    assert sweep.sql("SELECT count(*) FROM layers").fetchall() == [(9 * 4,)]


def test_sql_over_some_trials_reads_only_their_files(copy: Path) -> None:
    wanted, damaged = "chain-prefix-1-0001", "chain-prefix-2-0002"
    sweep = open_sweep(str(copy))
    (copy / "tables" / "layers" / f"{damaged}.parquet").write_bytes(b"PAR1 and no more")
    found = sweep.sql("SELECT DISTINCT trial_id FROM layers", trials=(wanted, "nobody"))
    assert found.fetchall() == [(wanted,)]
    assert sweep.sql("SELECT count(*) FROM steps", trials=()).fetchall() == [(0,)]
    assert set(sweep.table("layers", trials=(wanted,))["trial_id"].to_pylist()) == {wanted}


def test_many_files_keep_the_order_of_their_trials(tmp_path: Path) -> None:
    rows = pq.read_table(DATA / "tables" / "trials" / "chain-prefix-1-0001.parquet")
    folder = tmp_path / "sweep" / "tables" / "trials"
    shutil.copytree(DATA, tmp_path / "sweep", ignore=shutil.ignore_patterns("*.parquet"))
    names = [f"chain-{number:04d}" for number in range(450)]
    for name in reversed(names):
        column = rows.schema.get_field_index("trial_id")
        pq.write_table(
            rows.set_column(column, "trial_id", pa.array([name])), folder / f"{name}.parquet"
        )
    sweep = open_sweep(str(tmp_path / "sweep"))
    assert [row.trial_id for row in sweep.trial_rows()] == names
    assert list(sweep.commits) == names


def test_a_commit_that_is_damaged_is_named(copy: Path) -> None:
    (copy / "tables" / "trials" / "chain-prefix-1-0001.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(StorageError, match=r"is damaged.*chain-prefix-1-0001"):
        open_sweep(str(copy))
