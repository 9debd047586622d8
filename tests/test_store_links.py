"""What leads out of a folder of ours: links, also those that are swapped in, and hostile names."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3_kit import S3
from store_kit import begin, trial

from frostline.cli import main
from frostline.errors import StorageError, UsageError
from frostline.private import is_mine, private_folder
from frostline.schedule.cores import claim_cores, runtime_folder
from frostline.store.outdir import OutDir
from frostline.store.publication import publication
from frostline.store.spool import SPOOL_VARIABLE, Spool, SpoolingOut, store_kept
from frostline.store.sweep import open_sweep

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
SOMEBODY = 4_000


@pytest.fixture
def out(tmp_path: Path) -> OutDir:
    found = OutDir.open(str(tmp_path / "out"), create=True)
    begin(found)
    found.publish(trial("net-1"))
    return found


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder outside, with files of all the names that are written in these tests."""
    folder = tmp_path / "victim"
    for name in ("index.html", "notes.md", "record.json", "net-1.parquet"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    return folder


def unharmed(victim: Path) -> bool:
    return {path.read_text() for path in victim.iterdir()} == {"mine"} and len(
        list(victim.iterdir())
    ) == 4


# ---- OUT


def swap(folder: Path, victim: Path) -> None:
    folder.rename(folder.parent / "moved away")
    folder.symlink_to(victim)


def test_a_link_that_is_swapped_in_after_the_look_is_not_followed(
    out: OutDir, victim: Path
) -> None:
    out.write_text("report/index.html", "first")
    report = out.local_path / "report"
    with out.files.batch() as batch:
        batch.put("report/index.html", b"second")
        batch.remove("report/notes.md")
        swap(report, victim)
    assert unharmed(victim)
    assert (report.parent / "moved away" / "index.html").read_text() == "second"
    with pytest.raises(StorageError, match=r"out/report is a symbolic link.*of its own in its"):
        out.write_text("report/index.html", "third")
    assert unharmed(victim)


def test_staging_that_is_swapped_is_neither_used_nor_emptied(out: OutDir, victim: Path) -> None:
    with out.files.batch() as batch:
        batch.put("report/index.html", b"first")
        (own,) = (out.local_path / ".staging").iterdir()
        swap(own, victim)
    assert unharmed(victim)
    assert out.read_text("report/index.html") == "first"


def test_a_folder_of_the_users_in_staging_stays(out: OutDir) -> None:
    mine = out.local_path / ".staging" / "backup"
    mine.mkdir()
    os.utime(mine, (0, 0))
    out.remove_staging()
    assert mine.exists()


def test_every_way_to_read_refuses_a_link(out: OutDir, victim: Path) -> None:
    out.write_text("report/index.html", "first")
    swap(out.local_path / "report", victim)
    for read in (
        lambda: out.read_text("report/index.html"),
        lambda: out.files.walk("report"),
        lambda: out.fetch("report/index.html", victim.parent / "copy"),
        lambda: out.files.stamps("report"),
    ):
        with pytest.raises(StorageError, match=r"out/report is a symbolic link"):
            read()
    commit = out.local_path / "tables" / "trials" / "net-1.parquet"
    swap(commit, victim / "net-1.parquet")
    for look in (
        lambda: out.commit_of("net-1"),
        out.commits,
        lambda: open_sweep(str(out.local_path)),
    ):
        with pytest.raises(StorageError, match=r"net-1\.parquet is a symbolic link"):
            look()


@pytest.mark.parametrize("said", ["../../../victim/notes.md", "/etc/passwd", "a\0b", ""])
def test_a_row_of_another_name_than_its_file_is_damage(
    out: OutDir, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ids of trials name files: of events that are written, of rows, of logs."""
    path = out.local_path / "tables" / "trials" / "net-1.parquet"
    rows = pq.read_table(path)
    at = rows.schema.get_field_index("trial_id")
    pq.write_table(rows.set_column(at, rows.schema.field(at), pa.array([said])), path)
    where = str(out.local_path)
    for command, *rest in (["report"], ["reattribute"], ["explain", "net-1"]):
        assert main([command, where, *rest]) in (1, 2)
        assert "net-1.parquet is damaged: it has rows of another" in capsys.readouterr().err


# ---- Folders below one that everybody may write to


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A folder like `/tmp`."""
    folder = tmp_path / "crowded"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def a_link(place: Path, victim: Path) -> None:
    place.symlink_to(victim)


def a_file(place: Path, _victim: Path) -> None:
    place.write_text("x")


def an_open_folder(place: Path, _victim: Path) -> None:
    place.mkdir()
    place.chmod(0o770)


def somebody_elses(place: Path, _victim: Path) -> None:
    place.mkdir(mode=0o700)
    os.chown(place, SOMEBODY, SOMEBODY)


def a_link_of_somebodys_above(place: Path, victim: Path) -> None:
    place.parent.rmdir()
    place.parent.symlink_to(victim)
    os.lchown(place.parent, SOMEBODY, SOMEBODY)


@pytest.mark.parametrize(
    "planted",
    [
        a_link,
        a_file,
        an_open_folder,
        pytest.param(somebody_elses, marks=as_root),
        pytest.param(a_link_of_somebodys_above, marks=as_root),
    ],
)
def test_what_somebody_else_put_there_is_no_private_folder(
    crowded: Path, victim: Path, planted: Callable[[Path, Path], None]
) -> None:
    place = crowded / "frostline"
    planted(place, victim)
    with pytest.raises(UsageError, match=f"{place} should be a folder of yours .* or do that"):
        private_folder(place, "do that")
    assert is_mine(place) == (planted is an_open_folder)
    assert unharmed(victim)


def test_core_locks_are_no_links(crowded: Path, victim: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(crowded))
    core = min(os.sched_getaffinity(0))
    (runtime_folder() / f"core-{core}.lock").symlink_to(victim / "notes.md")
    with pytest.raises(OSError, match="symbolic links"):
        claim_cores(1, allowed=[core])
    assert unharmed(victim)


# ---- The spool


@pytest.fixture
def store(s3: S3, crowded: Path, monkeypatch: pytest.MonkeyPatch) -> OutDir:
    monkeypatch.setenv(SPOOL_VARIABLE, str(crowded))
    found = OutDir.open(s3.uri(), create=True)
    begin(found)
    return found


def kept(store: OutDir, trial_id: str = "net-1") -> Path:
    """The folder of a trial in the spool."""
    spool = Spool(store)
    tables = trial(trial_id, started_at=datetime.now(UTC))
    spool.keep(tables, publication(tables, {}))
    return spool.place / trial_id


def test_a_spool_is_private(store: OutDir) -> None:
    assert kept(store).parent.stat().st_mode & 0o777 == 0o700
    done = store_kept(store)
    assert done is not None
    assert done.stored == {"net-1": "ok"}


@pytest.mark.parametrize("change", [
    {"trial_id": "../../victim"},
    {"changes": [{"name": "../../../x", "file": "0"}]},
    {"changes": [{"name": "/etc/x", "file": "0"}]},
    {"changes": [{"name": "logs/x", "file": "../../../victim/notes.md"}]},
    {"changes": [{"name": "logs/x", "file": "/etc/passwd"}]},
])  # fmt: skip
def test_a_record_that_leads_out_of_the_spool_is_passed_over(
    store: OutDir, victim: Path, change: dict[str, object]
) -> None:
    record = kept(store) / "record.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | change))
    assert store_kept(store) is None
    assert record.exists()
    assert unharmed(victim)
    assert store.files.walk("logs") == store.files.walk("tables") == []


def test_links_in_a_spool_are_passed_over(store: OutDir, victim: Path) -> None:
    folder = kept(store)
    swap(folder, victim)
    number = next((folder.parent / "moved away").glob("[0-9]"))
    number.unlink()
    number.symlink_to(victim / "notes.md")
    (folder.parent / "moved away").rename(folder.parent / "net-2")
    assert store_kept(store) is None
    Spool(store).forget("net-1")
    assert unharmed(victim)
    assert store.files.walk("tables") == []


@as_root
def test_a_spool_of_somebody_elses_is_neither_read_nor_removed(store: OutDir) -> None:
    record = kept(store) / "record.json"
    os.chown(record.parents[1], SOMEBODY, SOMEBODY)
    assert store_kept(store) is None
    SpoolingOut(store).publish(trial("net-2", started_at=datetime.now(UTC)))
    assert store.commits() == {"net-2": "ok"}
    assert record.exists()
