"""A lease against measuring processes that fail in every way they can."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from schedule_kit import FAST, HERE, Fake, install_fake, lease, trial
from xspace_writer import Event, Line, Op, Plane, hlo_proto, xspace

from frostline.attribute.step_graph import PASSES, GraphOp, StepGraph
from frostline.errors import StorageError
from frostline.measure.messages import Measured
from frostline.results.outcome import Beside, TrialOutcome
from frostline.results.profile import read_profile
from frostline.schedule.events import (
    GroupOpened,
    LeaseEvent,
    LeaseNotice,
    LeaseStopped,
    StageEntered,
)
from frostline.schedule.lease import serve
from frostline.schedule.lease_spec import LeaseSpec
from frostline.store.outdir import OutDir, TrialTables
from frostline.trace.ops import Trace, TraceOp

COOL = replace(FAST, cool_down_s=0.01)


class FakeStore:
    """Remembers what was published; full after so many trials."""

    def __init__(self, room: int = 100) -> None:
        self.rows: dict[str, dict] = {}
        self.tables: dict[str, TrialTables] = {}
        self.files: dict[str, bytes] = {}
        self._room = room

    def publish(self, tables: TrialTables, files: Mapping[str, bytes | Path]) -> None:
        if len(self.rows) == self._room:
            raise StorageError("cannot write OUT: the disk is full: free some space")
        self.tables[tables.trial_id] = tables
        self.rows[tables.trial_id] = tables.trials[0].values()
        for name, source in files.items():
            self.files[name] = source if isinstance(source, bytes) else source.read_bytes()


class FakeConverter:
    """Gives the same trace for every profile."""

    def convert(self, xplane: Path, *, deadline_s: float) -> Trace:
        op = TraceOp(
            device="/host:CPU", op_name="net/a/MatMul", op_type="MatMul", hlo_op="",
            kernel="", calls=10, self_ns=1_000_001, wait_ns=50_000,
        )  # fmt: skip
        return Trace(
            ops=(op,), steps=2, total_ns=1_000_001, busy_ns=900_000, between_ns=20_000,
            device_ns=970_000, eager=False, warnings=(),
        )  # fmt: skip


@contextmanager
def fake_converters(scratch: Path) -> Iterator[FakeConverter]:
    yield FakeConverter()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return install_fake(tmp_path / "fake", monkeypatch)


def run(spec: LeaseSpec, store: FakeStore) -> list[LeaseEvent]:
    return list(serve(spec, store, converters=fake_converters))


def outcomes(events: list[LeaseEvent]) -> dict[str, TrialOutcome]:
    found = [event for event in events if isinstance(event, TrialOutcome)]
    assert len({event.trial_id for event in found}) == len(found)
    return {event.trial_id: event for event in found}


def test_trials_share_a_process_and_are_committed_with_rows_files_and_stages(
    fake: Fake, tmp_path: Path
) -> None:
    store = FakeStore()
    control = trial("none", is_control=True)
    spec = lease(tmp_path, ["a", "b"])
    events = run(replace(spec, trials=(control, *spec.trials)), store)

    assert [type(event) for event in events].count(GroupOpened) == 1
    assert len({pid for pid, _ in fake.requests("run")}) == 1
    done = outcomes(events)
    assert [done[name].speedup for name in ("none", "a", "b")] == [1.0, 2.0, 2.0]
    assert done["none"].noise == pytest.approx(0.015)
    assert done["a"].noise is None
    stages = [event.stage for event in events if isinstance(event, StageEntered)][1:]
    assert stages[:4] == ["start", "measure", "convert", "store"]
    row = store.rows["a"]
    assert (row["status"], row["attempts"], row["error_stage"]) == ("ok", 1, None)
    assert row["noise_floor"] == pytest.approx(0.015)
    assert row["forward_ns"] == 500_000
    assert row["device_kind"].startswith("Fake CPU")
    assert row["process_trials"] == 2
    assert store.files["logs/a.log"] == b"a was here\n"
    kept = "tensorboard/a/plugins/profile/a/fake-host.xplane.pb"
    assert row["trace_path"] == kept
    assert kept in store.files


@pytest.mark.parametrize(("keep", "kept"), [("all", 2), ("anchors", 1), ("none", 0)])
def test_only_the_traces_asked_for_are_kept(
    fake: Fake, tmp_path: Path, keep: str, kept: int
) -> None:
    store = FakeStore()
    spec = lease(tmp_path, [])
    trials = (trial("a"), trial("all_but_head", anchor="pruned"))
    run(replace(spec, trials=trials, measure=replace(spec.measure, keep_traces=keep)), store)

    assert sum(name.endswith(".xplane.pb") for name in store.files) == kept
    assert sum(row["trace_path"] is not None for row in store.rows.values()) == kept
    assert all(row["forward_ns"] is not None for row in store.rows.values())


def test_a_deterministic_failure_is_a_row_and_the_process_goes_on(
    fake: Fake, tmp_path: Path
) -> None:
    fake.behave({"a": ["fail"]})
    store = FakeStore()
    done = outcomes(run(lease(tmp_path, ["a", "b"]), store))

    assert (done["a"].status, done["b"].status) == ("failed", "ok")
    row = store.rows["a"]
    assert (row["error_stage"], row["error_type"], row["attempts"]) == ("check", "FreezeCheck", 1)
    assert "net/conv2" in row["error_message"]
    assert len({pid for pid, _ in fake.requests("run")}) == 1


def test_a_fatal_failure_is_a_row_and_the_process_is_replaced(fake: Fake, tmp_path: Path) -> None:
    fake.behave({"a": ["fatal"]})
    done = outcomes(run(lease(tmp_path, ["a", "b"]), FakeStore()))

    assert (done["a"].status, done["b"].status) == ("failed", "ok")
    assert fake.runs() == ["a", "b"]
    assert len({pid for pid, _ in fake.requests("run")}) == 2


@pytest.mark.parametrize("death", ["kill", "exit", "garbage", "out-of-turn"])
def test_a_dead_process_is_replaced_and_its_trial_tried_again(
    fake: Fake, tmp_path: Path, death: str
) -> None:
    fake.behave({"a": [death, "ok"]})
    store = FakeStore()
    done = outcomes(run(lease(tmp_path, ["a", "b"]), store))

    assert (done["a"].status, done["b"].status) == ("ok", "ok")
    assert store.rows["a"]["attempts"] == 2
    assert fake.runs() == ["a", "a", "b"]


def test_what_kills_its_process_twice_is_quarantined(fake: Fake, tmp_path: Path) -> None:
    fake.behave({"a": ["kill"]})
    store = FakeStore()
    done = outcomes(run(lease(tmp_path, ["a", "b"]), store))

    assert (done["a"].status, done["b"].status) == ("failed", "ok")
    assert fake.runs() == ["a", "a", "b"]
    row = store.rows["a"]
    assert (row["error_type"], row["error_stage"], row["attempts"]) == (
        "ProcessKilled", "measure", 2,
    )  # fmt: skip
    assert "SIGKILL" in row["error_message"]


def test_attempts_of_earlier_leases_count(fake: Fake, tmp_path: Path) -> None:
    fake.behave({"a": ["kill"]})
    store = FakeStore()
    run(lease(tmp_path, ["a"], attempts={"a": 1}, kills={"a": 1}), store)

    assert fake.runs() == ["a"]
    assert store.rows["a"]["attempts"] == 2


def test_a_trial_that_hangs_is_stopped_and_not_tried_again(fake: Fake, tmp_path: Path) -> None:
    fake.behave({"a": ["hang"]})
    store = FakeStore()
    spec = lease(tmp_path, ["a", "b"], limits=replace(FAST, trial_timeout_s=2.0))
    done = outcomes(run(spec, store))

    assert (done["a"].status, done["b"].status) == ("failed", "ok")
    assert (store.rows["a"]["error_type"], store.rows["a"]["error_stage"]) == ("Timeout", "measure")
    assert "trial_timeout_s" in store.rows["a"]["error_message"]
    assert fake.runs() == ["a", "b"]
    assert not any(psutil.pid_exists(pid) for pid, _ in fake.requests("run"))


@pytest.mark.parametrize(
    ("behaviour", "kind"), [("exit", "ProcessDied"), ("kill", "ProcessKilled")]
)
def test_without_a_baseline_every_trial_fails_with_its_reason(
    fake: Fake, tmp_path: Path, behaviour: str, kind: str
) -> None:
    fake.behave({"open": [behaviour]})
    store = FakeStore()
    done = outcomes(run(lease(tmp_path, ["a", "b"]), store))

    assert {outcome.status for outcome in done.values()} == {"failed"}
    assert all(row["error_type"] == kind for row in store.rows.values())
    assert all("baseline" in row["error_message"] for row in store.rows.values())
    assert fake.runs() == []
    assert len(fake.requests("open")) == 2


def test_a_baseline_that_dies_once_is_opened_again(fake: Fake, tmp_path: Path) -> None:
    fake.behave({"open": ["kill", "ok"]})
    done = outcomes(run(lease(tmp_path, ["a"]), FakeStore()))

    assert done["a"].status == "ok"


def test_a_baseline_that_an_earlier_trial_took_down_is_opened_again(
    fake: Fake, tmp_path: Path
) -> None:
    fake.behave({"a": ["no-baseline", "ok"]})
    done = outcomes(run(lease(tmp_path, ["a"]), FakeStore()))

    assert done["a"].status == "ok"
    assert len(fake.requests("open")) == 2


def test_a_baseline_that_is_gone_is_no_attempt_of_the_trial_that_finds_out(
    fake: Fake, tmp_path: Path
) -> None:
    fake.behave({"a": ["fail"], "b": ["no-baseline", "ok"], "c": ["no-baseline", "no-baseline"]})
    store = FakeStore()
    spec = lease(tmp_path, ["a", "b", "c", "d"], limits=replace(FAST, max_attempts=1))
    done = outcomes(run(spec, store))

    assert [done[name].status for name in "abcd"] == ["failed", "ok", "failed", "ok"]
    assert [store.rows[name]["attempts"] for name in "abcd"] == [1, 1, 1, 1]
    assert store.rows["c"]["error_type"] == "NoBaseline", "another one would not help it"


def test_a_timed_trial_without_a_trace_is_ok_and_says_so(fake: Fake, tmp_path: Path) -> None:
    fake.behave({"a": ["no-trace"]})
    store = FakeStore()
    done = outcomes(run(lease(tmp_path, ["a"]), store))

    assert (done["a"].status, done["a"].speedup) == ("ok", 2.0)
    row = store.rows["a"]
    assert (row["error_stage"], row["error_type"]) == ("profile", "NoTrace")
    assert "CUPTI" in row["error_message"]
    assert row.get("forward_ns") is None
    assert store.tables["a"].op_costs == []
    assert [layer.mode for layer in store.tables["a"].layers] == ["pruned", "trainable"]


def test_a_trace_that_cannot_be_read_takes_nothing_from_the_timing(
    fake: Fake, tmp_path: Path
) -> None:
    store = FakeStore()
    done = outcomes(list(serve(lease(tmp_path, ["a"]), store)))  # the real converter, real junk

    assert done["a"].status == "ok"
    assert (store.rows["a"]["error_stage"], store.rows["a"]["error_type"]) == (
        "profile", "TraceError",
    )  # fmt: skip


def bad_profiles() -> Iterator[object]:
    """Profiles that no attribution should be made of, and what is said of each."""
    recorded = (HERE / "data" / "profiles" / "graph.xplane.pb").read_bytes()
    steps = Line(1, "python", [Event("train", 0, 990, {"step_num": 0, "_r": 1})])
    ops = Line(7, "tf_Compute/1", [Event("net/a/MatMul:MatMul", 10, 500, {"is_eager": 0})])
    host = Plane("/host:CPU", [steps, ops])
    graph = StepGraph.load(HERE / "data" / "profiles" / "graph.graph.json")
    yield pytest.param(recorded[: len(recorded) // 2], "cut off", id="truncated")
    yield pytest.param(b"", "is empty", id="nothing")
    yield pytest.param(b"<html>404</html>", "a file of another kind", id="text")
    yield pytest.param(repr(graph).encode(), "a file of another kind", id="other text")
    yield pytest.param(hlo_proto("m", {"main": [Op("x", "parameter")]}), "is no XSpace",
                       id="another protocol buffer")  # fmt: skip
    yield pytest.param(xspace([Plane("/host:CPU", [ops])]), "no training steps", id="no steps")
    yield pytest.param(xspace([Plane("/host:CPU", [steps])]), "no op events", id="no ops")
    yield pytest.param(xspace([host, Plane("/device:GPU:0")]), "no kernel", id="empty device")


@pytest.mark.parametrize(("content", "reason"), list(bad_profiles()))
def test_of_a_bad_profile_the_timing_is_kept_and_no_pass_is_zero(
    fake: Fake, tmp_path: Path, content: bytes, reason: str
) -> None:
    (fake.folder / "recorded.xplane.pb").write_bytes(content)
    store = FakeStore()
    done = outcomes(list(serve(lease(tmp_path, ["a"]), store)))

    assert (done["a"].status, done["a"].speedup) == ("ok", 2.0)
    row = store.rows["a"]
    assert (row["error_stage"], row["error_type"]) == ("profile", "TraceError")
    assert reason in row["error_message"]
    assert "fake-host.xplane.pb" in row["error_message"]
    untold = {f"{name}_ns" for name in PASSES} | {"attributed_fraction", "busy_ns", "trace_steps"}
    assert {name: row.get(name) for name in untold} == dict.fromkeys(untold)
    assert store.tables["a"].op_costs == []
    times = {
        getattr(each, f"{name}_ns") for each in store.tables["a"].layers for name in PASSES[:4]
    }
    assert times == {None}


def measured_with(folder: Path, graph: StepGraph) -> Measured:
    graph.save(folder / "graph.json")
    return Measured(
        samples=(), pairing="interleaved", stop_reason="target_ci", speedup=1, speedup_low=1,
        speedup_high=1, step_ns=1, baseline_step_ns=1, profiled_step_ns=1,
        trace_file=str(folder / "host.xplane.pb"), profile_error=None,
        graph_file=str(folder / "graph.json"), warnings=(), peak_memory_bytes=None,
        energy_joules_per_step=None, seconds={}, rss_bytes=1,
    )  # fmt: skip


def test_time_for_a_frozen_variables_gradient_is_refused(tmp_path: Path) -> None:
    """The graph says that net/a trains, the trial froze it: one of the two is wrong."""
    gradient = GraphOp(
        op_name="net/a/MatMul", op_type="MatMul", layer="net/a", pass_="weight_gradient",
        needed_by=(0,),
    )  # fmt: skip
    paths = ("net/a/kernel", "net/b/kernel")
    measured = measured_with(tmp_path, StepGraph(variables=paths, trained=paths, ops=(gradient,)))
    for frozen, kind in (((), None), (("net/a/kernel",), "CreditError")):
        found = read_profile(
            measured,
            FakeConverter,
            trial=trial("a", frozen_variables=frozen, frozen_layers=()),
            device_id="cpu:0",
            deadline_s=9,
        )
        assert (found.failure.kind if found.failure else None) == kind
        assert bool(found.costs) == (kind is None)


def test_a_gpus_trace_without_kernels_is_no_account_of_its_costs(tmp_path: Path) -> None:
    measured = measured_with(tmp_path, StepGraph(variables=(), trained=(), ops=()))
    found = read_profile(
        measured, FakeConverter, trial=trial("a"), device_id="GPU-1234", deadline_s=9
    )
    assert found.failure is not None
    assert "no kernel of GPU GPU-1234" in found.failure.message
    assert "frostline doctor" in found.failure.message


def test_a_throttled_trial_is_measured_again(fake: Fake, tmp_path: Path) -> None:
    fake.behave({"a": ["throttled", "quiet"], "b": ["quiet"], "c": ["ok"]})
    store = FakeStore()
    events = run(lease(tmp_path, ["a", "b", "c"], limits=COOL), store)

    assert fake.runs() == ["a", "a", "b", "c"]
    assert len(fake.requests("open")) == 1, "the process and its baseline stay"
    (notice,) = [event.text for event in events if isinstance(event, LeaseNotice)]
    assert "slowed down (thermal_slowdown), attempt 1; it is measured again" in notice
    assert [(row["attempts"], row["throttled"]) for row in store.rows.values()] == [
        (2, False), (1, False), (1, None),
    ]  # fmt: skip
    assert outcomes(events)["a"].attempts == 2
    assert store.rows["c"]["throttle_reasons_before"] is None, "no GPU, and not one that is quiet"


@pytest.mark.parametrize(
    ("second", "kind", "kept_ns"),
    [
        ("ok", "Fake CPU, GPUs ", 40_000_000), ("ok", "another", None),
        ("busy:2", "Fake CPU, GPUs ", None), ("busy:3", "Fake CPU, GPUs ", None),
        ("fail", "Fake CPU, GPUs ", None), ("no-trace", "Fake CPU, GPUs ", None),
    ],
)  # fmt: skip
def test_what_is_measured_again_is_committed_only_beside_a_faster_baseline(
    second: str, kind: str, kept_ns: int | None, fake: Fake, tmp_path: Path
) -> None:
    fake.behave({"a": [second], "b": ["busy:2"]})
    store = FakeStore()
    before = {"a": Beside(step_ns=80_000_000, device_kind=kind)}
    events = run(lease(tmp_path, ["a", "b"], again=before), store)

    assert [row["baseline_step_ns"] for row in store.rows.values()] == [
        *([] if kept_ns is None else [kept_ns]), 80_000_000,
    ]  # fmt: skip
    assert set(outcomes(events)) == {"a", "b"}
    assert outcomes(events)["a"].earlier is (kept_ns is None)


def test_a_trial_that_stays_throttled_is_kept_and_marked(fake: Fake, tmp_path: Path) -> None:
    fake.behave({"a": ["throttled"]})
    store = FakeStore()
    run(lease(tmp_path, ["a"], limits=COOL), store)

    assert fake.runs() == ["a", "a", "a"]
    row = store.rows["a"]
    assert (row["status"], row["attempts"], row["throttled"]) == ("ok", 3, True)
    assert row["warnings"] == ("its GPU was slowed down: thermal_slowdown",)
    assert (row["clock_mhz_before"], row["clock_mhz_after"]) == (1980, 1200)
    assert (row["throttle_reasons_before"], row["throttle_reasons_after"]) == (
        (), ("thermal_slowdown",),
    )  # fmt: skip


def test_a_full_disk_stops_the_lease_and_keeps_what_is_there(fake: Fake, tmp_path: Path) -> None:
    store = FakeStore(room=1)
    events = run(lease(tmp_path, ["a", "b", "c"]), store)

    assert isinstance(events[-1], LeaseStopped)
    assert "free some space" in events[-1].message
    assert list(store.rows) == ["a"]
    assert fake.runs() == ["a", "b"]
    assert not any(psutil.pid_exists(pid) for pid, _ in fake.requests("run"))


@pytest.mark.parametrize("full_after", [0, 1])
def test_a_full_disk_for_temporary_files_is_no_failure_of_a_trial(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_after: int
) -> None:
    """GIVEN a disk that fills up before or while a trial runs THEN the trial stays to be done."""
    fake.behave({"b": ["exit"]})
    usage, store, asked = shutil.disk_usage(tmp_path), FakeStore(), []

    def disk_usage(_: Path) -> object:
        asked.append(None)
        return usage if len(asked) <= 1 + full_after else usage._replace(free=1_000_000)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    spec = lease(tmp_path, ["a", "b", "c"], limits=replace(FAST, max_attempts=1))
    events = run(spec, store)
    assert isinstance(events[-1], LeaseStopped)
    assert "1 MB of free space" in events[-1].message
    assert set(outcomes(events)) == {"a"}


def test_a_process_whose_memory_does_not_come_back_is_replaced(fake: Fake, tmp_path: Path) -> None:
    fake.behave({"c": [f"rss:{3 << 30}"], "d": [f"rss:{3 << 30}"]})
    run(lease(tmp_path, ["a", "b", "c", "d", "e"]), FakeStore())

    pids = [pid for pid, _ in fake.requests("run")]
    assert len(set(pids[:4])) == 1
    assert pids[4] != pids[3]


def test_a_process_whose_second_trial_failed_is_as_large_as_after_its_third(
    fake: Fake, tmp_path: Path
) -> None:
    usual = f"rss:{3 << 30}"
    fake.behave({"a": [usual], "b": ["fail"], "c": [usual], "d": [usual], "e": [usual]})
    run(lease(tmp_path, ["a", "b", "c", "d", "e"]), FakeStore())

    assert len({pid for pid, _ in fake.requests("run")}) == 1


def test_a_process_is_replaced_after_a_set_number_of_trials(fake: Fake, tmp_path: Path) -> None:
    spec = lease(tmp_path, ["a", "b", "c"], limits=replace(FAST, trials_per_process=2))
    run(spec, FakeStore())

    pids = [pid for pid, _ in fake.requests("run")]
    assert pids[0] == pids[1] != pids[2]


def test_closing_a_lease_ends_its_process(fake: Fake, tmp_path: Path) -> None:
    fake.behave({"a": ["hang"]})
    events = serve(lease(tmp_path, ["a"]), FakeStore(), converters=fake_converters)
    while next(events) != StageEntered(trial_id="a", stage="measure"):
        continue
    (pid,) = {pid for pid, _ in fake.requests("open")}
    assert psutil.pid_exists(pid)
    events.close()

    assert not psutil.pid_exists(pid)


def test_the_process_runs_on_the_cores_of_its_lease(fake: Fake, tmp_path: Path) -> None:
    store = FakeStore()
    before = os.sched_getaffinity(0)
    run(lease(tmp_path, ["a"]), store)

    (core,) = store.rows["a"]["device_id"].removeprefix("cpu:").split(",")
    assert int(core) in before
    assert os.sched_getaffinity(0) == before


def test_a_lease_waits_for_cores_and_says_who_holds_them(fake: Fake, tmp_path: Path) -> None:
    from frostline.schedule.cores import claim_cores

    everything = claim_cores(len(os.sched_getaffinity(0)))
    assert everything is not None
    events = serve(lease(tmp_path, ["a"]), FakeStore(), converters=fake_converters)
    notice = next(events)
    everything.release()

    assert isinstance(notice, LeaseNotice)
    assert str(os.getpid()) in notice.text
    assert outcomes(list(events))["a"].status == "ok"


def test_a_lease_does_not_wait_for_cores_for_ever(fake: Fake, tmp_path: Path) -> None:
    from frostline.schedule.cores import claim_cores

    everything = claim_cores(len(os.sched_getaffinity(0)))
    assert everything is not None
    with everything:
        events = run(lease(tmp_path, ["a"], limits=replace(FAST, cores_wait_s=0.0)), FakeStore())

    assert isinstance(events[-1], LeaseStopped)
    assert "cpus_per_trial" in events[-1].message


def test_rows_published_by_a_lease_are_what_a_reader_finds(fake: Fake, tmp_path: Path) -> None:
    fake.behave({"b": ["fail"]})
    out = OutDir.open(str(tmp_path / "out"), create=True)
    list(serve(lease(tmp_path / "out", ["a", "b"]), out, converters=fake_converters))

    assert out.commits() == {"a": "ok", "b": "failed"}
