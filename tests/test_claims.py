"""At most one driver on an OUT in an object store, however slow it is; the dead hold nothing."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from s3_kit import S3, Fault
from schedule_kit import install_fake
from test_store_sweeps import sweep

from frostline.errors import SweepError
from frostline.store import claims, lock
from frostline.store.claims import CLAIMS, FORMER, Pace, held_in_store
from frostline.store.files import Batch, Source
from frostline.store.outdir import OutDir
from frostline.store.owner import Owner, read_owner

QUICK = Pace(beat_s=0.02, stale_s=30.0, look_s=0.01, wait_s=0.5)


def far(**changes: object) -> Owner:
    """A driver on another host, heard of just now."""
    return replace(Owner(), host="far.example.org", pid=4_000_000, **changes)


class SlowStore:
    """What claims need of a store; each request takes effect some time within its duration."""

    shown = "slow://store"

    def __init__(self, seed: int, most_s: float = 0.01) -> None:
        self.random = random.Random(seed)
        self.most_s = most_s
        self.content: dict[str, bytes] = {}

    def _lag(self) -> None:
        time.sleep(self.random.choice([0.0, 0.1, 1.0]) * self.random.random() * self.most_s)

    def read(self, name: str) -> bytes | None:
        self._lag()
        found = self.content.get(name)
        self._lag()
        return found

    def walk(self, folder: str) -> list[str]:
        self._lag()
        found = sorted(name for name in dict(self.content) if name.startswith(f"{folder}/"))
        self._lag()
        return found

    def batch(self) -> Batch:
        return _Batch(self)


class _Batch(Batch):
    def __init__(self, store: SlowStore) -> None:
        self.store = store
        self.changes: list[tuple[str, Source | None]] = []

    def put(self, name: str, source: Source) -> None:
        self.changes.append((name, source))

    def remove(self, name: str) -> None:
        self.changes.append((name, None))

    def apply(self) -> None:
        for name, source in self.changes:
            self.store._lag()
            if source is None:
                self.store.content.pop(name, None)
            else:
                assert isinstance(source, bytes)
                self.store.content[name] = source
            self.store._lag()

    def close(self) -> None:
        return None


def compete(store: SlowStore) -> tuple[int, int]:
    """Let four drivers start together: how many were inside at once, and how many ever were."""
    inside, most, went_on = 0, 0, 0
    guard, start = threading.Lock(), threading.Barrier(4)

    def drive() -> None:
        nonlocal inside, most, went_on
        start.wait()
        try:
            with held_in_store(store, QUICK):  # type: ignore[arg-type]
                with guard:
                    inside += 1
                    went_on += 1
                    most = max(most, inside)
                time.sleep(0.02)
                with guard:
                    inside -= 1
        except SweepError:
            return

    drivers = [threading.Thread(target=drive) for _ in range(4)]
    for each in drivers:
        each.start()
    for each in drivers:
        each.join()
    return most, went_on


@pytest.mark.parametrize("seed", range(40))
def test_of_drivers_that_start_together_one_goes_on(seed: int) -> None:
    store = SlowStore(seed)
    most, went_on = compete(store)
    assert most == 1
    assert went_on >= 1
    assert store.content == {}


def test_drivers_that_did_not_wait_for_their_claims_would_meet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The test above can fail: it does where others are listed before the claim has landed."""
    write = claims._write

    def late(files: SlowStore, owner: Owner) -> None:
        threading.Timer(0.03, write, (files, owner)).start()

    monkeypatch.setattr(claims, "_write", late)
    assert max(compete(SlowStore(seed))[0] for seed in range(5)) > 1


@pytest.fixture
def remote(s3: S3) -> OutDir:
    return OutDir.open(s3.uri(), create=True)


def put(out: OutDir, owner: Owner, name: str | None = None) -> None:
    out.put_file(owner.to_json(), name or f"{CLAIMS}/{owner.token}.json")


def test_another_hosts_claim_holds_until_its_heartbeat_is_old(remote: OutDir) -> None:
    other = far()
    put(remote, other)
    with pytest.raises(SweepError, match=r"process 4000000 on far\.example\.org"):
        held_in_store(remote.files, QUICK).__enter__()
    put(remote, replace(other, heartbeat=datetime.now(UTC) - timedelta(seconds=60)))
    with held_in_store(remote.files, QUICK):
        (claim,) = remote.files.walk(CLAIMS)
        mine = read_owner(remote.files, claim)
        assert mine is not None
        assert mine.supersedes == (other.token,)
    assert remote.files.walk(CLAIMS) == []


@pytest.mark.parametrize("heartbeat_age_s", [0, 60])
def test_the_claim_of_a_version_before_is_respected(remote: OutDir, heartbeat_age_s: int) -> None:
    age = timedelta(seconds=heartbeat_age_s)
    put(remote, far(heartbeat=datetime.now(UTC) - age), FORMER)
    if heartbeat_age_s == 0:
        with pytest.raises(SweepError, match=r"process 4000000 on far\.example\.org"):
            held_in_store(remote.files, QUICK).__enter__()
        return
    with held_in_store(remote.files, QUICK):
        assert remote.read_text(FORMER) is None


def test_a_dead_process_of_this_host_holds_nothing(remote: OutDir) -> None:
    put(
        remote, replace(Owner(), pid_started_s=1.0)
    )  # the number of this one, started at another time
    put(remote, replace(Owner(), token="x", pid=4_000_000))
    with held_in_store(remote.files, QUICK):
        assert len(remote.files.walk(CLAIMS)) == 1


def test_one_that_only_asks_is_waited_for(remote: OutDir) -> None:
    asks = far(token="z" * 32, holds=False)
    put(remote, asks)
    with pytest.raises(SweepError, match="in use by process 4000000"):
        held_in_store(remote.files, QUICK).__enter__()


@pytest.fixture
def holding(remote: OutDir) -> Iterator:
    with held_in_store(remote.files, QUICK) as hold:
        yield hold


def lost(hold: object, attack: Callable[[], None] = lambda: None) -> str:
    """Why a hold was lost, within 20 s; `attack` is repeated until then."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        attack()
        try:
            hold.check()  # type: ignore[attr-defined]
        except SweepError as error:
            return str(error)
        time.sleep(0.02)
    return ""


def test_the_heartbeat_is_renewed(remote: OutDir, holding: object) -> None:
    (claim,) = remote.files.walk(CLAIMS)
    first = read_owner(remote.files, claim)
    end = time.monotonic() + 20
    while (seen := read_owner(remote.files, claim)) is None or seen.heartbeat == first.heartbeat:
        assert time.monotonic() < end, "no heartbeat in 20 s"
    assert seen.token == first.token


def test_a_driver_that_was_taken_for_dead_is_told(remote: OutDir, holding: object) -> None:
    (claim,) = remote.files.walk(CLAIMS)

    def remove() -> None:
        with remote.files.batch() as batch:
            batch.remove(claim)

    # A heartbeat that was under way when the claim was removed writes it once more.
    assert "has lost its hold on the results: its claim was removed" in lost(holding, remove)
    assert remote.files.walk(CLAIMS) == [], "it does not claim again"


def test_a_driver_that_finds_its_successor_is_told(remote: OutDir, holding: object) -> None:
    put(remote, far())
    assert "process 4000000 on far.example.org" in lost(holding)


def test_a_store_that_fails_for_a_while_costs_no_hold(front: S3) -> None:
    out = OutDir.open(front.uri(max_attempts=1), create=True)
    with held_in_store(out.files, QUICK) as hold:
        front.fail(Fault(kind="error"))
        time.sleep(0.3)
        front.fail()
        time.sleep(0.3)
        hold.check()


def test_a_claim_whose_put_takes_long_is_no_gap(front: S3) -> None:
    """GIVEN a first driver whose claim takes seconds to land WHEN another comes THEN one holds."""
    uri = front.uri()
    front.fail(Fault(kind="slow", method="PUT", path="claims", times=1, delay_s=2.5))
    holding: list[str] = []
    started = threading.Event()

    def drive(name: str) -> None:
        started.set()
        try:
            with held_in_store(OutDir.open(uri, create=True).files, QUICK):
                holding.append(name)
                time.sleep(4)
                holding.append(f"{name} ends")
        except SweepError:
            holding.append(f"{name} is refused")

    first = threading.Thread(target=drive, args=("first",))
    first.start()
    started.wait()
    time.sleep(0.5)
    second = threading.Thread(target=drive, args=("second",))
    second.start()
    first.join()
    second.join()
    assert sorted(holding) in (
        ["first is refused", "second", "second ends"],
        ["first", "first ends", "second is refused"],
    ), holding


def test_a_sweep_that_lost_its_hold_stops_with_a_word(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = install_fake(tmp_path / "fake", monkeypatch)
    fake.behave({"prefix:2": ["hang"]})
    monkeypatch.setenv("FROSTLINE_SPOOL", str(tmp_path / "spool"))
    monkeypatch.setattr("frostline.store.outdir.lock.held", partial(lock.held, pace=QUICK))
    where = s3.uri()

    def steal() -> None:
        while "prefix:2" not in fake.runs():
            time.sleep(0.05)
        put(OutDir.open(where, create=False), far())

    thief = threading.Thread(target=steal)
    thief.start()
    with pytest.raises(SweepError, match=r"lost its hold .* far\.example\.org"):
        sweep(where)
    thief.join()
    assert OutDir.open(where, create=False).commits(), "what was finished stays"
