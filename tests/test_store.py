"""OUT: one suite on a local disk and on an object store, then what only a disk can suffer."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.fs import FileSystem
from s3_kit import S3
from store_kit import begin, trial

from frostline import open_sweep
from frostline.errors import StorageError, SweepError
from frostline.store.address import Address
from frostline.store.arrow import TableDefectError, to_table
from frostline.store.outdir import OutDir, TrialTables
from frostline.store.remote import RemoteFiles
from frostline.store.schema import SCHEMA_VERSION, TABLES


@pytest.fixture(params=["disk", "file-uri", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path, s3: S3) -> str:
    """A place where nothing is yet."""
    return {
        "disk": str(tmp_path / "new" / "out"),
        "file-uri": (tmp_path / "out").as_uri(),
        "s3": s3.uri(),
    }[request.param]


@pytest.fixture
def local(tmp_path: Path) -> OutDir:
    return OutDir.open(str(tmp_path / "out"), create=True)


# ---- On a disk and in an object store alike


def test_what_is_published_reads_back(uri: str) -> None:
    out = OutDir.open(uri, create=True)
    begin(out)
    assert out.commits() == {}
    out.publish(trial("net-1"))
    out.publish(trial("net-2", status="failed", error_stage="build"))
    assert out.commits() == {"net-1": "ok", "net-2": "failed"}
    sweep = open_sweep(uri)
    assert sweep.commits == {"net-1": "ok", "net-2": "failed"}
    assert sweep.table("steps").num_rows == 6
    assert sweep.sql("SELECT count(*) FROM steps WHERE trial_id = 'net-2'").fetchall() == [(3,)]
    assert sweep.table("layers").num_rows == 0
    assert sweep.trial_rows()[0].started_at == datetime(2026, 1, 5, tzinfo=UTC)


def test_a_retry_replaces_everything_of_the_attempt_before(uri: str) -> None:
    out = OutDir.open(uri, create=True)
    begin(out)
    out.publish(trial("net-1", steps=5))
    out.publish(trial("net-1", steps=0, status="failed", attempts=2))
    assert out.commits() == {"net-1": "failed"}
    assert out.files.walk("tables") == ["tables/trials/net-1.parquet"]
    assert open_sweep(uri).table("steps").num_rows == 0


def test_rows_without_a_commit_are_left_out(uri: str) -> None:
    out = OutDir.open(uri, create=True)
    begin(out)
    out.publish(trial("net-1"))
    out.publish(trial("net-2"))
    with out.files.batch() as batch:
        batch.remove("tables/trials/net-2.parquet")
    sweep = open_sweep(uri)
    assert sweep.commits == {"net-1": "ok"}
    assert set(sweep.table("steps")["trial_id"].to_pylist()) == {"net-1"}


def test_files_trees_and_text(uri: str, tmp_path: Path) -> None:
    out = OutDir.open(uri, create=True)
    tree = tmp_path / "tree"
    (tree / "plugins" / "profile").mkdir(parents=True)
    (tree / "events").write_bytes(b"")
    (tree / "plugins" / "profile" / "vm.xplane.pb").write_bytes(b"\0" * 6_000_000)
    out.put_tree(tree, "tensorboard/net-1")
    out.put_file(tree / "events", "tensorboard/net-1/stale")
    out.write_text("logs/net-1.log", "größer\n")
    assert out.read_text("logs/net-1.log") == "größer\n"
    assert out.read_text("logs/net-2.log") is None
    expected = ["tensorboard/net-1/events", "tensorboard/net-1/plugins/profile/vm.xplane.pb"]
    assert out.files.walk("tensorboard") == sorted([*expected, "tensorboard/net-1/stale"])
    out.put_tree(tree, "tensorboard/net-1", stale=["stale", "events", "never-was"])
    assert out.files.walk("tensorboard") == expected
    assert out.fetch(expected[1], tmp_path / "back" / "x.pb")
    assert (tmp_path / "back" / "x.pb").stat().st_size == 6_000_000
    assert not out.fetch("tensorboard/none", tmp_path / "none")


def test_a_name_cannot_lead_out_of_the_folder(uri: str, tmp_path: Path) -> None:
    out = OutDir.open(uri, create=True)
    for name in ("../x", "/etc/x", "a/../../x", ""):
        with pytest.raises(ValueError, match="not a name below OUT"):
            out.write_text(name, "x")


def test_a_study_goes_on_in_its_own_folder_only(uri: str) -> None:
    out = OutDir.open(uri, create=True)
    begin(out)
    again = OutDir.open(uri, create=True)
    again.begin_run('name = "demo"\nseed = 1\n', "d2", "demo", {"keras": "3"}, trials_planned=7)
    manifest = again.manifest()
    assert manifest is not None
    assert [run.study_digest for run in manifest.runs] == ["d1", "d2"]
    assert manifest.runs[1].trials_planned == 7
    assert manifest.digest == "d2"
    assert again.read_text("study.toml") == 'name = "demo"\nseed = 1\n'
    with pytest.raises(SweepError, match=r"holds the study 'demo'.*not 'other'.*another --out"):
        begin(again, name="other")
    assert len(json.loads(again.read_text("manifest.json") or "")["runs"]) == 2


def test_a_newer_schema_is_refused(uri: str) -> None:
    out = OutDir.open(uri, create=True)
    begin(out)
    text = (out.read_text("manifest.json") or "").replace(
        f'"schema_version": {SCHEMA_VERSION}', f'"schema_version": {SCHEMA_VERSION + 1}'
    )
    out.write_text("manifest.json", text)
    with pytest.raises(SweepError, match=f"schema version {SCHEMA_VERSION + 1}.*upgrade"):
        begin(out)
    with pytest.raises(SweepError, match="upgrade"):
        open_sweep(uri)


def test_foreign_files_are_left_alone(uri: str) -> None:
    out = OutDir.open(uri, create=True)
    out.write_text("thesis.tex", "x")
    with pytest.raises(SweepError, match=r"no sweep's \(thesis\.tex\)"):
        begin(out)
    assert out.files.entries() == [*([".staging"] if out.local_path else []), "thesis.tex"]


def test_a_second_driver_is_refused_and_says_who_holds_it(uri: str) -> None:
    first, second = OutDir.open(uri, create=True), OutDir.open(uri, create=True)
    with first.lock():
        with pytest.raises(SweepError, match=rf"in use by process {os.getpid()} on \S+ since 2"):
            second.lock().__enter__()
        with pytest.raises(SweepError, match="choose another --out"):
            second.lock().__enter__()
    with second.lock():
        pass


def test_a_place_that_does_not_exist_is_not_made_by_reading(uri: str, tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="does not exist"):
        OutDir.open(uri, create=False)
    assert list(tmp_path.iterdir()) == []


def test_credentials_stay_out_of_messages(s3: S3) -> None:
    out = OutDir.open(s3.uri("secretive"), create=True)
    begin(out)
    with pytest.raises(SweepError) as refused:
        begin(out, name="other")
    assert "secret@" not in str(refused.value)
    assert str(refused.value).startswith("s3://bucket/secretive holds")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("", "empty name"),
        ("foo://bucket/x", "cannot open foo://bucket/x"),
        ("s3://bucket/x?zone=1", "cannot open s3://bucket/x.*zone"),
    ],
)
def test_a_uri_that_cannot_be_opened(uri: str, message: str) -> None:
    with pytest.raises(SweepError, match=message):
        OutDir.open(uri, create=True)


def test_a_store_that_cannot_be_reached() -> None:
    uri = S3(port=9).uri("x", max_attempts=2)
    with pytest.raises(StorageError, match=r"cannot read s3://bucket/x: .*check that it can be"):
        OutDir.open(uri, create=True)


def test_a_file_system_without_atomic_puts_stages_and_moves() -> None:
    filesystem, _ = FileSystem.from_uri("mock:///")
    out = OutDir(
        Address.parse("mock:///out"),
        RemoteFiles(filesystem, "out", Address.parse("mock:///out")),
    )
    begin(out)
    out.publish(trial("net-1", steps=4))
    out.publish(trial("net-1", steps=2))
    assert out.commits() == {"net-1": "ok"}
    assert out.files.walk("tables") == ["tables/steps/net-1.parquet", "tables/trials/net-1.parquet"]
    assert out.files.walk(".staging") == []
    out.remove_staging()


# ---- Rows that do not fit


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "table trials, column colour: row 0 has this unknown column"),
        ({"model": None}, "table trials, column model: is required"),
        ({"step_ns": 1.5}, r"column step_ns: is int64 and row 0 has 1\.5 \(float\)"),
        ({"attempts": True}, r"column attempts: is int64 and row 0 has True"),
        ({"speedup": float("nan")}, "column speedup.*NaN .write None"),
        ({"speedup": "2"}, "column speedup: is float64"),
        ({"frozen_layers": "conv1"}, "column frozen_layers: is list<string>"),
        ({"warnings": [1]}, "column warnings"),
        ({"started_at": datetime(2026, 1, 5)}, "column started_at.*without a time zone"),
        ({"step_ns": 2**70}, "column step_ns"),
        ({"is_control": 1}, "column is_control: is bool"),
    ],
)
def test_rows_that_do_not_fit_name_table_and_column(
    local: OutDir, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(TableDefectError, match=message):
        local.publish(trial(**changes))
    assert local.files.walk("tables") == []


def test_arrow_tables_are_checked_as_well(local: OutDir) -> None:
    good = to_table("steps", trial().steps)
    local.publish(TrialTables(trial_id="net-1", trials=trial().trials, steps=good))
    for bad, message in (
        (good.append_column("x", pa.array([1, 2, 3])), "column x: is unknown"),
        (good.drop_columns(["arm"]), "column arm: is required and 3 rows lack it"),
        (good.set_column(6, "step_ns", pa.array([1.5] * 3)), "column step_ns: is int64"),
    ):
        with pytest.raises(TableDefectError, match=f"table steps, {message}"):
            local.publish(TrialTables(trial_id="net-1", trials=trial().trials, steps=bad))


def test_rows_belong_to_the_trial_they_are_published_for(local: OutDir) -> None:
    with pytest.raises(TableDefectError, match="'net-2' in the rows of 'net-1'"):
        local.publish(
            TrialTables(trial_id="net-1", trials=trial("net-1").trials, steps=trial("net-2").steps)
        )
    with pytest.raises(TableDefectError, match="0 rows instead of one"):
        local.publish(TrialTables(trial_id="net-1", trials=[]))
    for name in ("../up", ".hidden", "a/b", "", "x" * 201):
        with pytest.raises(TableDefectError, match="cannot be a trial_id"):
            local.publish(trial(name))


def test_numpy_numbers_are_numbers(local: OutDir) -> None:
    local.publish(trial(step_ns=np.int64(7), speedup=np.float64(1.5), duration_s=np.int32(2)))
    rows = pq.read_table(local.local_path / "tables" / "trials" / "net-1.parquet").to_pylist()
    assert (rows[0]["step_ns"], rows[0]["speedup"], rows[0]["duration_s"]) == (7, 1.5, 2.0)


@given(st.lists(st.tuples(st.integers(-1, 2**62), st.booleans(), st.text(max_size=5)), max_size=20))
def test_any_rows_of_the_right_types_survive(values: list[tuple[int, bool, str]]) -> None:
    rows = [
        {
            "trial_id": "t", "arm": arm, "pair": number, "position": 0, "warmup": warmup,
            "n_steps": 1, "step_ns": number,
        }
        for number, warmup, arm in values
    ]  # fmt: skip
    assert to_table("steps", rows).to_pylist() == rows


# ---- On a disk


class _Killed(BaseException):
    """Stands for the process dying at this point: nothing in the program catches it."""


def _die_at(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Die at the n-th change of what readers see (a rename or a removal)."""
    left = [count]

    def dying(method: Callable) -> Callable:
        def change(*args: object, **options: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise _Killed
            return method(*args, **options)

        return change

    monkeypatch.setattr(os, "replace", dying(os.replace))
    monkeypatch.setattr(os, "unlink", dying(os.unlink))


@pytest.mark.parametrize("changes", range(7))
def test_dying_at_any_point_leaves_whole_attempts_only(
    local: OutDir, monkeypatch: pytest.MonkeyPatch, changes: int
) -> None:
    # GIVEN a committed first attempt with 5 samples, and other trials with rows in every table
    begin(local)
    for table in TABLES:
        (local.local_path / "tables" / table).mkdir(parents=True)
    local.publish(trial("net-1", steps=5, attempts=1))
    # WHEN the second, with 2, dies after some of its 7 changes
    with monkeypatch.context() as patch:
        _die_at(patch, changes)
        with pytest.raises(_Killed):
            local.publish(trial("net-1", steps=2, attempts=2))
    # THEN a reader finds the first attempt whole, or no commit and so no rows
    sweep = open_sweep(local.address.reveal())
    found = [row.attempts for row in sweep.trial_rows()]
    assert (found, sweep.table("steps").num_rows) == (([1], 5) if changes == 0 else ([], 0))
    # AND the next attempt makes it good
    local.publish(trial("net-1", steps=3, attempts=3))
    sweep = open_sweep(local.address.reveal())
    assert [row.attempts for row in sweep.trial_rows()] == [3]
    assert sweep.table("steps").num_rows == 3


@pytest.mark.parametrize("after", range(2))
def test_a_full_disk_changes_nothing_that_readers_see(
    local: OutDir, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    begin(local)
    local.publish(trial("net-1", steps=5))
    real, left = os.fsync, [after]

    def fsync(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(StorageError, match=r"cannot write .*net-1\.parquet: the disk is full"):
            local.publish(trial("net-1", steps=2))
    assert open_sweep(local.address.reveal()).table("steps").num_rows == 5
    assert list((local.local_path / ".staging").iterdir()) == []


def test_a_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("x")
    for path in (blocker, blocker / "below" / "out"):
        with pytest.raises(SweepError, match=rf"{blocker} is a file, not a folder"):
            OutDir.open(str(path), create=True)
    out = OutDir.open(str(tmp_path / "out"), create=True)
    (tmp_path / "out" / "tables").write_text("x")
    with pytest.raises(StorageError, match="stands where a folder is needed"):
        out.publish(trial())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="permission denied: choose a folder"):
        OutDir.open(str(tmp_path / "out"), create=True)


def test_commits_are_read_once(local: OutDir, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        local.publish(trial(f"net-{number}"))
    assert len(local.commits()) == 20
    local.publish(trial("net-7", status="failed"))
    reads = []
    real = pq.ParquetFile
    monkeypatch.setattr(pq, "ParquetFile", lambda source: reads.append(source) or real(source))
    assert local.commits()["net-7"] == "failed"
    assert len(reads) == 1
    (local.local_path / "tables" / "trials" / "net-3.parquet").unlink()
    assert "net-3" not in local.commits()
    assert len(reads) == 1


def test_a_damaged_commit_is_named(local: OutDir) -> None:
    begin(local)
    local.publish(trial("net-1"))
    path = local.local_path / "tables" / "trials" / "net-1.parquet"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(StorageError, match=r"trials/net-1\.parquet is damaged.*delete"):
        OutDir.open(local.address.reveal(), create=False).commits()


def test_staging_of_the_dead_goes_and_that_of_the_living_stays(local: OutDir) -> None:
    staging = local.local_path / ".staging"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = {
        "dead": f"{socket.gethostname()}.{dead.pid}.{uuid.uuid4().hex}",
        "living": f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex}",
        "other-new": f"far.example.org.17.{uuid.uuid4().hex}",
        "other-old": f"far.example.org.18.{uuid.uuid4().hex}",
    }
    for name in names.values():
        (staging / name).mkdir(parents=True)
    long_ago = time.time() - 86_400
    os.utime(staging / names["other-old"], (long_ago, long_ago))
    local.remove_staging()
    assert {path.name for path in staging.iterdir()} == {names["living"], names["other-new"]}


def test_the_lock_of_a_killed_driver_is_taken_over(local: OutDir) -> None:
    code = (
        "import sys, time\n"
        "from frostline.store.outdir import OutDir\n"
        "with OutDir.open(sys.argv[1], create=True).lock():\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, local.address.reveal()], stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "held\n"
        with pytest.raises(SweepError, match=f"process {driver.pid} on"):
            local.lock().__enter__()
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    with local.lock():
        pass


def test_messages_show_no_credentials() -> None:
    assert Address.parse("s3://k:s@b/p?region=x").shown == "s3://b/p"
    assert Address.parse("some/path").shown == "some/path"
