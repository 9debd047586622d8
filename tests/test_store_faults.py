"""An object store that is slow, broken, busy or closed, and trials that wait for it on the disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from s3_kit import S3, Fault
from schedule_kit import FAST, Fake, install_fake, lease
from store_kit import begin, trial

from frostline import open_sweep
from frostline.errors import StorageError, StoreUnreachableError, SweepError
from frostline.results.outcome import TrialOutcome
from frostline.schedule.events import LeaseNotice, LeaseStopped
from frostline.schedule.lease import serve
from frostline.store.outdir import OutDir
from frostline.store.spool import SPOOL_VARIABLE, Spool, SpoolingOut, store_kept

KINDS = ("error", "busy", "reset")


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(SPOOL_VARIABLE, str(tmp_path / "spool"))
    return tmp_path / "spool"


def opened(front: S3, **options: object) -> OutDir:
    """A new sweep in the store that gives up after two attempts."""
    out = OutDir.open(front.uri(**({"max_attempts": 2, "timeout_s": 5} | options)), create=True)
    begin(out)
    return out


def fresh(trial_id: str = "net-1", **changes: object):
    """Rows of a trial that was started after the sweep began."""
    return trial(trial_id, started_at=datetime.now(UTC), **changes)


# ---- What Arrow is told to put up with


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_that_passes_is_not_even_noticed(front: S3, kind: str) -> None:
    out = opened(front, max_attempts=4)
    front.fail(Fault(kind=kind, times=2, method="PUT"), Fault(kind=kind, times=1, method="GET"))
    out.publish(trial())
    assert out.commits() == {"net-1": "ok"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_that_stays_names_the_file_and_may_pass(front: S3, kind: str) -> None:
    out = opened(front)
    front.fail(Fault(kind=kind, method="PUT"))
    front.asked.clear()
    with pytest.raises(
        StoreUnreachableError, match=r"cannot write s3://bucket/\S+\.parquet: .*AWS"
    ):
        out.publish(trial())
    assert sum(method == "PUT" for method, _ in front.asked) == 2
    assert out.commits() == {}


def test_a_store_that_is_slower_than_allowed(front: S3) -> None:
    out = opened(front, timeout_s=1, max_attempts=1)
    out.publish(trial())
    front.fail(Fault(kind="slow", delay_s=5, method="HEAD|GET"))
    with pytest.raises(StoreUnreachableError, match=r"cannot list s3://.*Timeout was reached"):
        out.commits()
    front.fail(Fault(kind="slow", delay_s=0.2))
    assert out.commits() == {"net-1": "ok"}


def test_what_is_denied_is_tried_once_and_says_what_to_do(front: S3) -> None:
    out = opened(front)
    front.fail(Fault(kind="denied", method="PUT"))
    front.asked.clear()
    with pytest.raises(StorageError, match="access denied: these credentials may not") as refused:
        out.publish(trial())
    assert not isinstance(refused.value, StoreUnreachableError)
    assert sum(method == "PUT" for method, _ in front.asked) == 1
    front.fail(Fault(kind="denied"))
    with pytest.raises(StorageError, match="access denied"):
        OutDir.open(out.address.reveal(), create=False)


def test_a_bucket_that_is_not_there(front: S3) -> None:
    out = OutDir.open(front.uri(bucket="nowhere"), create=True)
    with pytest.raises(StorageError, match="there is no such bucket: make it, or correct --out"):
        begin(out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_attempts": "often"}, "max_attempts=often is no positive number"),
        ({"timeout_s": 0}, "timeout_s=0 is no positive number"),
        (
            {"timeout_s": 9, "tls_verify_certificates": "true"},
            "timeout_s cannot be combined with tls_",
        ),
    ],
)
def test_options_that_make_no_sense(front: S3, options: dict[str, object], message: str) -> None:
    with pytest.raises(SweepError, match=message):
        OutDir.open(front.uri(**options), create=True)


# ---- The spool


def test_what_cannot_be_stored_stays_here_and_is_stored_later(
    front: S3, spool: Path, tmp_path: Path
) -> None:
    out = opened(front)
    trace = tmp_path / "vm.xplane.pb"
    trace.write_bytes(b"trace")
    front.fail(Fault(kind="denied", method="PUT", path="tables/trials"))
    for number in (1, 2):
        with pytest.raises(StorageError, match=rf"access denied.* It is kept in {spool}/\S+ on "):
            SpoolingOut(out).publish(
                fresh(f"net-{number}"), {"tensorboard/net-1/vm.xplane.pb": trace}
            )
    trace.unlink()  # scratch of the lease that measured it
    assert open_sweep(out.address.reveal()).commits == {}
    refused = store_kept(out)
    assert refused is not None
    assert (refused.stored, refused.left) == ({}, 2)
    assert "access denied" in refused.why

    front.fail()
    done = store_kept(OutDir.open(out.address.reveal(), create=False))
    assert done is not None
    assert (done.stored, done.left, done.obsolete) == ({"net-1": "ok", "net-2": "ok"}, 0, 0)
    sweep = open_sweep(out.address.reveal())
    assert sweep.commits == {"net-1": "ok", "net-2": "ok"}
    assert sweep.table("steps").num_rows == 6
    assert out.read_text("tensorboard/net-1/vm.xplane.pb") == "trace"
    assert list(spool.iterdir()) == []
    assert store_kept(out) is None


def test_nothing_stays_here_of_what_was_stored(front: S3, spool: Path) -> None:
    out = opened(front)
    SpoolingOut(out).publish(fresh())
    assert out.commits() == {"net-1": "ok"}
    assert list(spool.iterdir()) == []


KILLED = """
import sys
from datetime import UTC, datetime
from store_kit import trial
from frostline.store.outdir import OutDir
from frostline.store.spool import SpoolingOut
SpoolingOut(OutDir.open(sys.argv[1], create=False)).publish(
    trial("net-1", started_at=datetime.now(UTC))
)
"""


def test_a_process_that_is_killed_while_it_stores(front: S3, spool: Path) -> None:
    out = opened(front, timeout_s=60)
    front.fail(Fault(kind="slow", delay_s=30, method="PUT", path="tables/steps"))
    front.asked.clear()
    path = f"{Path(__file__).parent}:{Path(__file__).parents[1]}"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, out.address.reveal()], env=os.environ | {"PYTHONPATH": path}
    ) as process:
        end = time.monotonic() + 60
        while not any("tables/steps" in asked for _, asked in front.asked):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    front.fail()
    assert out.commits() == {}
    done = store_kept(out)
    assert done is not None
    assert done.stored == {"net-1": "ok"}
    assert open_sweep(out.address.reveal()).table("steps").num_rows == 3


def kept_by(out: OutDir, front: S3, tables) -> None:
    """Leave a trial in the spool."""
    front.fail(Fault(kind="denied", method="PUT"))
    with pytest.raises(StorageError):
        SpoolingOut(out).publish(tables)
    front.fail()


@pytest.mark.parametrize(
    ("there", "kept", "stored"),
    [("ok", "ok", False), ("failed", "ok", True), ("failed", "failed", False)],
)
def test_a_kept_trial_replaces_nothing_that_is_as_good(
    front: S3, spool: Path, there: str, kept: str, stored: bool
) -> None:
    out = opened(front)
    kept_by(out, front, fresh(status=kept, steps=5))
    out.publish(fresh(status=there, attempts=2, steps=1))
    done = store_kept(out)
    assert done is not None
    assert (len(done.stored), done.obsolete) == ((1, 0) if stored else (0, 1))
    assert open_sweep(out.address.reveal()).table("steps").num_rows == (5 if stored else 1)
    assert Spool(out).trials() == []


def test_what_an_earlier_sweep_left_does_not_get_into_a_new_one(front: S3, spool: Path) -> None:
    out = opened(front)
    kept_by(out, front, trial(started_at=datetime.now(UTC) - timedelta(days=1)))
    done = store_kept(out)
    assert done is not None
    assert (done.stored, done.obsolete) == ({}, 1)
    assert out.commits() == {}


def test_other_credentials_are_the_same_place_and_another_endpoint_is_not(
    front: S3, s3: S3, spool: Path
) -> None:
    out = opened(front)
    key = out.address.reveal().removeprefix("s3://key:secret@bucket/").partition("?")[0]
    same = OutDir.open(front.uri(key).replace("key:secret", "other:word"), create=True)
    other = OutDir.open(s3.uri(key), create=True)
    assert Spool(out).place == Spool(same).place
    assert Spool(out).place != Spool(other).place


def test_what_another_process_has_stored_is_not_counted_as_left(front: S3, spool: Path) -> None:
    out = opened(front, max_attempts=1)
    for number in (1, 2):
        kept_by(out, front, fresh(f"net-{number}"))
    kept = Spool(out)
    seen = kept.trials()
    kept.trials = lambda: seen  # type: ignore[method-assign]
    kept.forget("net-1")
    front.fail(Fault(kind="denied", method="PUT"))
    done = kept.store()
    assert (done.stored, done.obsolete, done.left) == ({}, 0, 1)


def test_a_spool_that_another_process_has_just_removed_keeps_nothing(
    front: S3, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Spool(opened(front))
    monkeypatch.setattr("frostline.store.spool.is_mine", lambda _folder: True)
    kept.forget("net-1")
    assert kept.trials() == []
    done = kept.store()
    assert (done.stored, done.left, done.why) == ({}, 0, "")


def test_a_user_without_a_home_keeps_trials_among_temporary_files(
    front: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv(SPOOL_VARIABLE, raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    out = opened(front)
    kept_by(out, front, fresh())
    assert Spool(out).place.parent.parent == tmp_path
    assert [each.trial_id for each in Spool(out).trials()] == ["net-1"]


def test_a_disk_that_cannot_keep_is_no_reason_not_to_store(
    front: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv(SPOOL_VARIABLE, str(blocked))
    out = opened(front)
    SpoolingOut(out).publish(fresh())
    assert out.commits() == {"net-1": "ok"}
    front.fail(Fault(kind="denied", method="PUT"))
    with pytest.raises(StorageError, match="could not be kept on this machine either"):
        SpoolingOut(out).publish(fresh("net-2"))


# ---- Leases


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return install_fake(tmp_path / "fake", monkeypatch)


def test_a_lease_waits_for_a_store_and_says_so_once(front: S3, spool: Path, fake: Fake) -> None:
    out = opened(front, max_attempts=1)
    spec = replace(lease(Path("unused"), ["a", "b"]), out=out.address)
    front.fail(Fault(kind="busy", method="PUT", times=3))
    events = list(serve(spec, SpoolingOut(out)))
    (notice,) = [event for event in events if isinstance(event, LeaseNotice)]
    assert "trial a is measured and cannot be stored yet: cannot write s3://" in notice.text
    assert [event.status for event in events if isinstance(event, TrialOutcome)] == ["ok", "ok"]
    assert fake.runs() == ["a", "b"]


@pytest.mark.parametrize("kind", ["busy", "denied"])
def test_a_lease_that_cannot_store_stops_and_keeps_what_it_measured(
    front: S3, spool: Path, fake: Fake, kind: str
) -> None:
    out = opened(front, max_attempts=1)
    limits = replace(FAST, store_wait_s=0.05)
    spec = replace(lease(Path("unused"), ["a", "b"], limits=limits), out=out.address)
    front.fail(Fault(kind=kind, method="PUT"))
    last = list(serve(spec, SpoolingOut(out)))[-1]
    assert isinstance(last, LeaseStopped)
    assert f"It is kept in {Spool(out).place} on " in last.message
    assert [kept.trial_id for kept in Spool(out).trials()] == ["a"]
    assert fake.runs() == ["a"]
