"""One suite for every executor: leases in child processes, and leases as Ray tasks."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from local_executor import LocalExecutor
from schedule_kit import FAST, MEASURE, Fake, Heard, install_fake, lease, listening, trial

from frostline.errors import RayUnavailableError, SweepStoppedError, UsageError
from frostline.schedule.chunks import Chunk
from frostline.schedule.driver import Driver, Executor
from frostline.schedule.interrupts import END_S, hurried, interruptible
from frostline.schedule.lease_spec import LeaseSpec, Limits, Resources
from frostline.store.outdir import OutDir
from frostline.store.read import committed, read_all
from frostline.trial import Trial

UNPROFILED = replace(MEASURE, profile_steps=0)
ONE_CORE = Resources(gpus=0, cpus=1)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return install_fake(tmp_path / "fake", monkeypatch)


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.cluster)])
def executor(request: pytest.FixtureRequest, fake: Fake) -> Iterator[Executor]:
    if request.param == "local":
        with LocalExecutor(ONE_CORE) as local:
            yield local
        return
    from frostline.schedule.ray.executor import RayExecutor

    with RayExecutor(ONE_CORE, gpus=0) as ray:
        yield ray


@pytest.fixture
def out(tmp_path: Path) -> OutDir:
    return OutDir.open(str(tmp_path / "out"), create=True)


def drive(
    executor: Executor,
    out: OutDir,
    *chunks: list[str],
    resources: Resources = ONE_CORE,
    limits: Limits = FAST,
) -> tuple[Heard, Driver]:
    heard = Heard()

    def spec_of(trials: tuple[Trial, ...]) -> LeaseSpec:
        return replace(
            lease(out.address, [], measure=UNPROFILED, resources=resources, limits=limits),
            trials=trials,
        )

    driver = Driver(executor=executor, store=out, spec_of=spec_of, limits=limits, listener=heard)
    driver.run([Chunk(trials=tuple(trial(policy) for policy in chunk)) for chunk in chunks])
    return heard, driver


def rows_of(out: OutDir) -> list[dict]:
    found = committed(out.files, "trials", out.commits())
    return read_all(out.files, "trials", found, None).to_pylist()


def alive(fake: Fake) -> list[int]:
    """Measuring processes that still run; the dead that nobody has collected yet do not."""
    found = []
    for pid, _ in fake.requests("open"):
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


def wait_until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end, "it did not happen within 20 s"
        time.sleep(0.02)


def test_a_sweep_in_all_its_variety(executor: Executor, out: OutDir, fake: Fake) -> None:
    """GIVEN every kind of trial WHEN driven THEN each is committed exactly once."""
    fake.behave({
        "fails": ["fail"], "dies": ["kill", "ok"], "kills": ["kill"],
        "lost": ["kill-lease", "ok"], "loses": ["kill-lease"],
    })  # fmt: skip
    heard, driver = drive(
        executor, out, ["a", "fails", "b"], ["dies", "kills", "c"], ["d", "lost", "e"],
        ["loses", "f"],
    )  # fmt: skip
    done = heard.by_id()

    good = {"a", "b", "c", "d", "e", "f", "dies", "lost"}
    bad = {"fails": "FreezeCheck", "kills": "ProcessKilled", "loses": "LeaseLost"}
    assert out.commits() == {**dict.fromkeys(good, "ok"), **dict.fromkeys(bad, "failed")}
    assert {name for name, outcome in done.items() if outcome.status == "ok"} == good
    assert {name: done[name].error_type for name in bad} == bad
    started = Counter(fake.runs())
    assert all(started[name] == 1 for name in ("a", "b", "c", "d", "e", "f", "fails"))
    assert {name: started[name] for name in ("dies", "kills", "lost", "loses")} == {
        "dies": 2, "kills": 2, "lost": 2, "loses": 2,
    }  # fmt: skip
    assert any("lost a lease (worker)" in notice for notice in heard.notices)
    assert driver.seconds["step"] == pytest.approx(2.0 * len(good))
    wait_until(lambda: not alive(fake))  # those of killed leases die a moment later


def test_leases_on_one_node_never_share_a_core(executor: Executor, out: OutDir, fake: Fake) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core only")
    fake.behave({policy: ["slow:1.5"] for policy in "ab"})
    drive(executor, out, ["a"], ["b"])

    assert len({pid for pid, _ in fake.requests("run")}) == 2
    assert len({row["device_id"] for row in rows_of(out)}) == 2


def test_a_lease_that_cannot_store_ends_the_sweep(
    executor: Executor, out: OutDir, fake: Fake
) -> None:
    drive(executor, out, ["a"])
    blocked = Path(out.address.reveal()) / "tables" / "layers"
    blocked.rename(out.address.reveal() + "/moved")
    blocked.write_text("a file where a folder should be")
    with pytest.raises(SweepStoppedError, match=r"cannot write .*layers"):
        drive(executor, out, ["b", "c"])

    assert out.commits() == {"a": "ok"}
    assert "c" not in fake.runs()
    wait_until(lambda: not alive(fake))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_leaves_no_process_and_resumes(
    executor: Executor, out: OutDir, fake: Fake, number: signal.Signals
) -> None:
    fake.behave({"b": ["hang", "ok"]})

    def interrupt() -> None:
        wait_until(lambda: "b" in fake.runs())
        os.kill(os.getpid(), number)

    executor.slots  # noqa: B018 - waits until it is started
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt), interruptible():
        drive(executor, out, ["a", "b", "c"])
    thread.join()

    assert out.commits() == {"a": "ok"}
    wait_until(lambda: not alive(fake))
    heard, _ = drive(executor, out, ["b", "c"])
    assert set(heard.by_id()) == {"b", "c"}
    assert out.commits() == dict.fromkeys("abc", "ok")


IMPATIENT = replace(FAST, trial_timeout_s=4.0, silence_reserve_s=2.0)


def test_the_time_out_of_a_trial_works_on_a_stopped_lease(
    executor: Executor, out: OutDir, fake: Fake
) -> None:
    """GIVEN a lease that is stopped at a trial THEN it is ended and the trial runs again."""
    fake.behave({"b": ["stop-lease", "ok"]})
    heard, driver = drive(executor, out, ["a", "b", "c"], limits=IMPATIENT)

    assert out.commits() == dict.fromkeys("abc", "ok")
    assert driver.attempts == {"a": 1, "b": 2, "c": 1}
    assert any("said nothing for 6 s" in notice for notice in heard.notices)
    wait_until(lambda: not alive(fake))


def test_a_stopped_measuring_process_meets_the_time_out(
    executor: Executor, out: OutDir, fake: Fake
) -> None:
    fake.behave({"b": ["stop"]})
    heard, _ = drive(executor, out, ["a", "b", "c"], limits=IMPATIENT)

    assert out.commits() == {"a": "ok", "b": "failed", "c": "ok"}
    assert heard.by_id()["b"].error_type == "Timeout"
    wait_until(lambda: not alive(fake))


@pytest.mark.parametrize(
    ("behaviour", "times"), [("stop-lease", 1), ("stop-lease", 2), ("stop", 1)]
)
def test_ctrl_c_ends_a_sweep_of_which_a_process_is_stopped(
    executor: Executor, out: OutDir, fake: Fake, behaviour: str, times: int
) -> None:
    """GIVEN a lease, or its measuring process, that hears nothing WHEN interrupted THEN it ends."""
    fake.behave({"b": [behaviour, "ok"]})
    seen: list[bool] = []

    def interrupt() -> None:
        wait_until(lambda: "b" in fake.runs())
        time.sleep(0.5)
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
            seen.append(hurried())

    executor.slots  # noqa: B018 - waits until it is started
    thread = threading.Thread(target=interrupt)
    thread.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), interruptible():
        drive(executor, out, ["a", "b", "c"])
    assert time.monotonic() - began < 3 * END_S
    thread.join()

    assert seen[0] is False
    assert out.commits() == {"a": "ok"}
    wait_until(lambda: not alive(fake))


@pytest.mark.alone
@pytest.mark.cluster
@pytest.mark.parametrize(  # the other two of four: `make chaos`
    ("daemon", "number"), [("raylet", signal.SIGKILL), ("gcs_server", signal.SIGSTOP)]
)
def test_a_ray_that_dies_or_stops_is_one_clear_error_and_the_sweep_resumes(
    out: OutDir,
    fake: Fake,
    daemon: str,
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """GIVEN a sweep at work WHEN a process of Ray goes THEN no trial is blamed for it."""
    from frostline.schedule.ray import processes
    from frostline.schedule.ray.executor import RayExecutor

    monkeypatch.setattr(processes, "_STOPPED_S", 2.0)
    fake.behave({"b": ["hang", "ok"]})

    def hit() -> None:
        wait_until(lambda: "b" in fake.runs())
        for child in psutil.Process().children():
            if child.name() == daemon:
                child.send_signal(number)

    thread = threading.Thread(target=hit)
    with RayExecutor(ONE_CORE, gpus=0) as ray:
        ray.slots  # noqa: B018 - waits until it is started
        thread.start()
        with pytest.raises(RayUnavailableError, match=rf"`{daemon}`.*to resume") as caught:
            drive(ray, out, ["a", "b", "c"])
        thread.join()
    said = capfd.readouterr()

    assert caught.value.exit_code == 1
    assert said.out + said.err == ""
    assert out.commits() == {"a": "ok"}
    wait_until(lambda: not alive(fake))
    assert not [child for child in psutil.Process().children() if child.name() in _OF_RAY]
    with RayExecutor(ONE_CORE, gpus=0) as ray:
        drive(ray, out, ["b", "c"])
    assert out.commits() == dict.fromkeys("abc", "ok")


_OF_RAY = ("raylet", "gcs_server")


@pytest.mark.alone
@pytest.mark.cluster
def test_a_cluster_whose_head_is_gone_is_one_clear_error(
    tmp_path: Path, out: OutDir, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cluster_kit import new_cluster

    from frostline.schedule.ray import health
    from frostline.schedule.ray.executor import RayExecutor

    monkeypatch.setattr(health, "_SILENT_S", 3.0)
    monkeypatch.setattr(health, "_KNOCK_EVERY_S", 1.0)
    fake.behave({"a": ["hang"]})
    cluster = new_cluster()
    try:
        cluster.add_node(num_cpus=1)

        def lose_the_head() -> None:
            wait_until(lambda: "a" in fake.runs())
            cluster.head_node.all_processes["gcs_server"][0].process.kill()

        thread = threading.Thread(target=lose_the_head)
        with RayExecutor(ONE_CORE, address=cluster.address) as ray:
            ray.slots  # noqa: B018
            thread.start()
            with pytest.raises(RayUnavailableError, match=r"head of the cluster .* to resume"):
                drive(ray, out, ["a"], limits=replace(FAST, trial_timeout_s=300.0))
            thread.join()
    finally:
        cluster.shutdown()
    assert out.commits() == {}


def test_a_trial_that_fits_nowhere_is_refused(fake: Fake) -> None:
    with pytest.raises(UsageError, match="gpus_per_trial = 0"):
        LocalExecutor(Resources(gpus=1, cpus=1))


@pytest.mark.cluster
def test_an_embedded_ray_is_private_and_refuses_what_it_would_wait_for_for_ever(
    fake: Fake,
) -> None:
    from frostline.schedule.ray.executor import RayExecutor

    with RayExecutor(Resources(gpus=1, cpus=1), gpus=0) as ray:
        with pytest.raises(UsageError, match="gpus_per_trial = 0"):
            ray.slots  # noqa: B018
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        found = listening(processes)
    assert found <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


@pytest.mark.cluster
def test_rays_token_is_for_this_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from frostline.schedule.ray.cluster import prepare_environment

    monkeypatch.setenv("HOME", str(tmp_path))
    prepare_environment()
    token = tmp_path / ".ray" / "auth_token"
    first = token.read_text()
    token.chmod(0o644)  # as Ray itself leaves it
    prepare_environment()

    assert len(first) == 64
    assert token.read_text() == first
    assert token.stat().st_mode & 0o777 == 0o600


@pytest.mark.cluster
def test_each_lease_sees_the_gpus_it_holds_and_no_other(
    out: OutDir, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN two GPUs (announced, not there) THEN two leases see one each, one without sees none."""
    from frostline.schedule.ray.executor import RayExecutor

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    fake.behave({policy: ["slow:1.5"] for policy in "ab"})
    cores = len(os.sched_getaffinity(0))
    for gpus, expected in ((1, ["0", "1"] if cores > 1 else None), (0, ["", ""])):
        resources = Resources(gpus=gpus, cpus=1)
        with RayExecutor(resources, gpus=2) as ray:
            drive(ray, out, ["a"], ["b"], resources=resources)
        seen = sorted(row["device_kind"].partition("GPUs ")[2] for row in rows_of(out))
        assert expected is None or seen == expected
