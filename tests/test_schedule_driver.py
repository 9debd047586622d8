"""The driver's decisions, against an executor that plays a script."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from schedule_kit import FAST, Heard, lease, trial

from frostline.errors import SweepStoppedError
from frostline.results.outcome import Beside, TrialOutcome
from frostline.schedule import driver as driver_module
from frostline.schedule.chunks import Chunk
from frostline.schedule.driver import Driver
from frostline.schedule.events import (
    ExecutorEvent,
    GroupOpened,
    LeaseBegun,
    LeaseEnded,
    LeaseLost,
    LeaseNotice,
    LeaseStopped,
    StageEntered,
)
from frostline.schedule.lease_spec import BEFORE, LeaseSpec, Limits
from frostline.store.outdir import TrialTables
from frostline.tensorboard.events import events_path
from frostline.trial import Trial

Script = Callable[[LeaseSpec], Sequence[ExecutorEvent]]


class Store:
    """Commits by trial."""

    def __init__(self) -> None:
        self.status: dict[str, str] = {}
        self.rows: dict[str, dict] = {}
        self.files: list[str] = []

    def publish(self, tables: TrialTables, files: Mapping[str, bytes | Path]) -> None:
        self.files += files
        self.rows[tables.trial_id] = tables.trials[0].values()
        self.status[tables.trial_id] = self.rows[tables.trial_id]["status"]

    def commits(self) -> dict[str, str]:
        return dict(self.status)


class ScriptedExecutor:
    """Plays the next script for each lease, one lease at a time."""

    start_s = 0.0
    slots = 1
    window = 1

    def __init__(self, *scripts: Script) -> None:
        self.specs: list[LeaseSpec] = []
        self.cancelled = 0
        self.killed: list[int] = []
        self._scripts = list(scripts)
        self._pending: list[tuple[int, ExecutorEvent]] = []

    def submit(self, spec: LeaseSpec) -> int:
        number = len(self.specs)
        self.specs.append(spec)
        script = self._scripts.pop(0) if self._scripts else all_ok
        self._pending += [(number, event) for event in script(spec)]
        return number

    def poll(self, timeout_s: float) -> list[tuple[int, ExecutorEvent]]:
        events, self._pending = self._pending, []
        return events

    def kill(self, number: int) -> None:
        self.killed.append(number)

    def cancel(self) -> None:
        self.cancelled += 1


def started(trial_id: str) -> StageEntered:
    return StageEntered(trial_id=trial_id, stage="start")


def beside_ms(baseline_ms: int, kind: str = "CPU") -> Beside:
    return Beside(step_ns=baseline_ms * 1_000_000, device_kind=kind)


def ok(trial_id: str, noise: float | None = None, baseline_ms: int | None = None) -> TrialOutcome:
    return TrialOutcome(
        trial_id=trial_id, model="net", policy=trial_id, status="ok", attempts=1, noise=noise,
        beside=None if baseline_ms is None else beside_ms(baseline_ms),
        seconds={"step": 2.0},
    )  # fmt: skip


def all_ok(spec: LeaseSpec) -> list[ExecutorEvent]:
    ids = [one.trial_id for one in spec.trials]
    return [event for each in ids for event in (started(each), ok(each))] + [LeaseEnded()]


def ids(spec: LeaseSpec) -> list[str]:
    return [one.trial_id for one in spec.trials]


def drive(
    executor: ScriptedExecutor,
    store: Store,
    *chunks: Sequence[Trial],
    limits: Limits = FAST,
    lost_before: Sequence[str] = (),
) -> tuple[Heard, Driver]:
    heard = Heard()
    driver = Driver(
        executor=executor,
        store=store,
        spec_of=lambda trials: replace(lease(Path("out"), []), trials=trials),
        limits=limits,
        listener=heard,
        lost_before=lost_before,
    )
    driver.run([Chunk(trials=tuple(chunk)) for chunk in chunks])
    return heard, driver


def trials(*policies: str) -> list[Trial]:
    return [trial(policy) for policy in policies]


def test_what_a_lost_lease_has_committed_is_not_run_again() -> None:
    store = Store()

    def lost_after_committing_b(spec: LeaseSpec) -> list[ExecutorEvent]:
        store.status["b"] = "ok"
        return [started("a"), ok("a"), started("b"), LeaseLost(cause="node", message="gone")]

    executor = ScriptedExecutor(lost_after_committing_b)
    heard, _ = drive(executor, store, trials("a", "b", "c"))

    assert [ids(spec) for spec in executor.specs] == [["a", "b", "c"], ["c"]]
    done = heard.by_id()
    assert set(done) == {"a", "b", "c"}
    assert done["b"].earlier
    assert any("gone" in notice for notice in heard.notices)


def test_an_outcome_that_comes_twice_counts_once() -> None:
    heard, driver = drive(
        ScriptedExecutor(lambda _: [started("a"), ok("a"), ok("a"), LeaseEnded()]),
        Store(), trials("a"),
    )  # fmt: skip
    assert len(heard.outcomes) == 1
    assert driver.seconds["step"] == 2.0


def test_the_trial_at_work_is_charged_and_the_others_are_not() -> None:
    def lose_b(spec: LeaseSpec) -> list[ExecutorEvent]:
        before: list[ExecutorEvent] = [started("a"), ok("a")] if "a" in ids(spec) else []
        return [*before, started("b"), LeaseLost(cause="worker", message="killed")]

    store = Store()
    executor = ScriptedExecutor(lose_b, lose_b)
    heard, _ = drive(executor, store, trials("a", "b", "c"))

    assert [ids(spec) for spec in executor.specs] == [["a", "b", "c"], ["b", "c"], ["c"]]
    assert executor.specs[1].attempts == {"b": 1}
    assert executor.specs[1].kills == {"b": 1}
    assert executor.specs[2].attempts == {}
    row = store.rows["b"]
    assert store.files == [events_path("b")]
    assert (row["status"], row["error_type"], row["attempts"]) == ("failed", "LeaseLost", 2)
    assert heard.by_id()["b"].status == "failed"


def test_a_row_that_only_says_that_a_lease_was_lost_is_no_commit_of_a_later_lease() -> None:
    """GIVEN lost trials of an earlier run WHEN a lease is lost again THEN they still run."""
    store = Store()
    store.status.update(a="failed", b="failed")
    lose: Script = lambda spec: [  # noqa: E731
        started("a"), LeaseLost(cause="node", message="reclaimed"),
    ]  # fmt: skip
    executor = ScriptedExecutor(lose)
    heard, _ = drive(executor, store, trials("a", "b"), lost_before=("a", "b"))

    assert [ids(spec) for spec in executor.specs] == [["a", "b"], ["a", "b"]]
    assert {each: done.status for each, done in heard.by_id().items()} == {"a": "ok", "b": "ok"}


def test_what_an_earlier_run_lost_and_this_lease_has_committed_counts() -> None:
    store = Store()
    store.status["a"] = "failed"

    def commits_a(_: LeaseSpec) -> list[ExecutorEvent]:
        store.status["a"] = "ok"
        return [started("a"), LeaseLost(cause="node", message="reclaimed")]

    executor = ScriptedExecutor(commits_a)
    drive(executor, store, trials("a", "b"), lost_before=("a",))
    assert [ids(spec) for spec in executor.specs] == [["a", "b"], ["b"]]


class SideBySide(ScriptedExecutor):
    """Plays the scripts of two leases in one look; notes how many run when one starts."""

    window = 2

    def __init__(self, *scripts: Script) -> None:
        super().__init__(*scripts)
        self.beside: list[int] = []
        self._running = 0

    def submit(self, spec: LeaseSpec) -> int:
        self.beside.append(self._running)
        self._running += 1
        return super().submit(spec)

    def poll(self, timeout_s: float) -> list[tuple[int, ExecutorEvent]]:
        events = super().poll(timeout_s)
        self._running -= sum(isinstance(event, LeaseEnded | LeaseLost) for _, event in events)
        return events


def test_where_memory_was_short_the_rest_runs_alone() -> None:
    """GIVEN two leases that a machine's memory cannot hold together THEN they follow one another,
    after all else."""

    def killed(spec: LeaseSpec) -> list[ExecutorEvent]:
        lost = LeaseLost(cause="worker", message="the node runs low", short_of_memory=True)
        return [started(ids(spec)[0]), lost]

    executor = SideBySide(killed, killed)
    heard, _ = drive(executor, Store(), trials("a", "b"), trials("c"), trials("d"))

    assert [ids(spec) for spec in executor.specs] == [["a", "b"], ["c"], ["d"], ["a", "b"], ["c"]]
    assert executor.beside[:2] == [0, 1]
    assert executor.beside[2:] == [0, 0, 0]
    assert {outcome.status for outcome in heard.outcomes} == {"ok"}
    assert any("trying again when nothing else runs" in notice for notice in heard.notices)


def test_a_trial_that_has_no_memory_alone_either_is_given_up() -> None:
    def killed(spec: LeaseSpec) -> list[ExecutorEvent]:
        lost = LeaseLost(cause="worker", message="the node runs low", short_of_memory=True)
        return [started(ids(spec)[0]), lost]

    store = Store()
    drive(SideBySide(killed, killed), store, trials("a", "b"))
    assert store.rows["a"]["error_message"].startswith("its lease was lost with it 2 times, last")
    assert store.status == {"a": "failed"}


def test_a_lost_node_is_held_against_no_trial_before_its_last_attempt() -> None:
    lose: Script = lambda spec: [  # noqa: E731
        started(ids(spec)[0]), LeaseLost(cause="node", message="reclaimed"),
    ]  # fmt: skip
    store = Store()
    executor = ScriptedExecutor(lose, lose)
    heard, _ = drive(executor, store, trials("a", "b"))

    assert heard.by_id()["a"].status == "ok"
    assert executor.specs[2].attempts == {"a": 2}
    assert executor.specs[2].kills == {}


def test_leases_that_never_start_come_to_an_end() -> None:
    lose: Script = lambda _: [LeaseLost(cause="error", message="ImportError: frostline")]  # noqa: E731
    store = Store()
    heard, _ = drive(ScriptedExecutor(*[lose] * 4), store, trials("a", "b"))

    assert {outcome.status for outcome in heard.outcomes} == {"failed"}
    assert {row["error_type"] for row in store.rows.values()} == {"LeaseError"}
    assert "ImportError" in store.rows["a"]["error_message"]


def test_a_lease_that_forgets_a_trial_is_a_lost_lease() -> None:
    executor = ScriptedExecutor(lambda _: [started("a"), ok("a"), LeaseEnded()])
    heard, _ = drive(executor, Store(), trials("a", "b"))

    assert set(heard.by_id()) == {"a", "b"}


def test_a_stopped_lease_stops_the_sweep_and_cancels_the_others() -> None:
    executor = ScriptedExecutor(lambda _: [started("a"), LeaseStopped(message="the disk is full")])
    with pytest.raises(SweepStoppedError, match="disk is full") as caught:
        drive(executor, Store(), trials("a"), trials("b"))

    assert caught.value.exit_code == 1
    assert executor.cancelled == 1
    assert len(executor.specs) == 1


def test_later_leases_of_a_group_know_its_noise_floor() -> None:
    control = trial("none", is_control=True)
    executor = ScriptedExecutor(lambda _: [started("none"), ok("none", noise=0.04), LeaseEnded()])
    drive(executor, Store(), [control], trials("a"))

    assert [spec.noise_floor for spec in executor.specs] == [None, 0.04]


def test_notices_stages_and_times_are_passed_on() -> None:
    opened = GroupOpened(seconds={"import": 3.0})
    heard, driver = drive(
        ScriptedExecutor(
            lambda _: [LeaseNotice(text="waiting"), opened, started("a"), ok("a"), LeaseEnded()]
        ),
        Store(), trials("a"),
    )  # fmt: skip
    assert heard.notices == ["waiting"]
    assert heard.stages == [("a", "start")]
    assert driver.seconds == {"open_import": 3.0, "step": 2.0}


def begun() -> LeaseBegun:
    return LeaseBegun(pid=1, pid_started_s=0.0)


IMPATIENT = replace(
    FAST, trial_timeout_s=0.05, convert_s=0.05, cores_wait_s=0.05, store_wait_s=0.05,
    silence_reserve_s=0.1,
)  # fmt: skip


@pytest.mark.parametrize("stage", [None, "start", "measure", "convert", "store"])
def test_a_lease_that_says_nothing_any_more_is_ended_and_its_trial_runs_again(
    stage: str | None,
) -> None:
    """GIVEN a lease that is stopped in some stage THEN its trial does not wait for ever."""

    def stops(_: LeaseSpec) -> list[ExecutorEvent]:
        return [begun(), *([StageEntered(trial_id="a", stage=stage)] if stage else [])]

    executor = ScriptedExecutor(stops)
    heard, _ = drive(executor, Store(), trials("a", "b"), limits=IMPATIENT)

    assert executor.killed == [0]
    assert {outcome.status for outcome in heard.by_id().values()} == {"ok"}
    assert executor.specs[1].kills == {"a": 1}
    assert any("said nothing for" in notice for notice in heard.notices)


def test_a_trial_that_stops_its_lease_again_and_again_is_given_up() -> None:
    stops: Script = lambda _: [begun(), started("a")]  # noqa: E731
    store = Store()
    heard, _ = drive(ScriptedExecutor(stops, stops), store, trials("a"), limits=IMPATIENT)

    assert heard.by_id()["a"].status == "failed"
    assert store.rows["a"]["error_type"] == "LeaseLost"
    assert "said nothing for" in store.rows["a"]["error_message"]


def test_every_stage_of_a_lease_has_a_longest_silence() -> None:
    limits = Limits(trial_timeout_s=1800.0, max_attempts=3)
    assert limits.silence_s("measure") == 1860.0
    assert limits.silence_s("convert") < limits.silence_s("measure")
    assert limits.silence_s(BEFORE) > limits.cores_wait_s


def test_a_driver_that_was_stopped_itself_takes_nobody_for_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """GIVEN Ctrl-Z and, an hour later, `fg` THEN the hour is not held against the leases."""
    now = 100.0
    monkeypatch.setattr(driver_module.time, "monotonic", lambda: now)
    clock = driver_module._Clock()
    for passed in (0.2, 3600.0, 0.2):
        now += passed
        clock.tick()
    assert clock.now_s == pytest.approx(0.4 + driver_module._TICK_S)


def beside(**baselines_ms: int) -> Script:
    """Trials that were measured beside baselines of so many milliseconds."""

    def script(spec: LeaseSpec) -> list[ExecutorEvent]:
        done = [
            event
            for each in ids(spec)
            for event in (started(each), ok(each, baseline_ms=baselines_ms[each]))
        ]
        return [*done, LeaseEnded()]

    return script


def anchors_and_others(*anchors: str) -> list[Trial]:
    return [*(trial(each, anchor="pruned") for each in anchors), *trials("a", "b", "c", "d")]


def test_anchors_measured_while_the_machine_was_slow_run_once_more_at_the_end() -> None:
    executor = ScriptedExecutor(
        beside(x=31, y=24, z=31, a=20, b=20, c=31, d=19),
        beside(x=32, z=20),
    )
    heard, _ = drive(executor, Store(), anchors_and_others("x", "y", "z"))

    assert [ids(spec) for spec in executor.specs] == [
        ["x", "y", "z", "a", "b", "c", "d"], ["x", "z"],
    ], "24 ms is no more than a drift, and c is no anchor"  # fmt: skip
    assert executor.specs[0].again == {}
    assert executor.specs[1].again == {"x": beside_ms(31), "z": beside_ms(31)}
    assert executor.specs[1].attempts == {"x": 1, "z": 1}
    (notice,) = heard.notices
    assert notice.startswith(
        "net, batch size 8, adam, float32, jit_compile auto: the machine was slow while x, z were "
        "measured (the baseline took 1.29 times what it usually took), and predictions rest on them"
    )
    assert [outcome.trial_id for outcome in heard.outcomes if outcome.again] == ["x", "z"]
    assert len(heard.by_id()) == 7


@pytest.mark.parametrize(
    ("baselines_ms", "max_attempts", "why"),
    [
        ({"x": 31, "a": 25, "b": 25, "c": 25, "d": 25}, 3, "1.24 times is a drift"),
        ({"x": 31, "a": 31, "b": 31, "c": 20, "d": 20}, 3, "slow is what this machine usually is"),
        ({"x": 31, "a": 20, "b": 20, "c": 20, "d": 20}, 1, "the study allows one attempt"),
    ],
)
def test_an_anchor_does_not_run_once_more(
    baselines_ms: dict[str, int], max_attempts: int, why: str
) -> None:
    executor = ScriptedExecutor(beside(**baselines_ms))
    heard, _ = drive(
        executor, Store(), anchors_and_others("x"), limits=replace(FAST, max_attempts=max_attempts)
    )

    assert len(executor.specs) == 1, why
    assert heard.notices == []


def test_a_lease_lost_while_an_anchor_runs_once_more_loses_nothing() -> None:
    store = Store()
    store.status["x"] = "ok"
    executor = ScriptedExecutor(
        beside(x=31, a=20, b=20, c=20, d=20),
        lambda spec: [started("x"), LeaseLost(cause="worker", message="killed")],
    )
    heard, _ = drive(executor, store, anchors_and_others("x"))

    assert len(executor.specs) == 2
    assert heard.by_id()["x"].status == "ok"
    assert store.status == {"x": "ok"}


def test_steps_on_another_kind_of_device_do_not_make_an_anchor_slow() -> None:
    def script(spec: LeaseSpec) -> list[ExecutorEvent]:
        slow = replace(ok("x"), beside=beside_ms(31, "small GPU"))
        done = [slow, *(ok(each, baseline_ms=20) for each in ("a", "b", "c", "d"))]
        return [*(each for one in done for each in (started(one.trial_id), one)), LeaseEnded()]

    executor = ScriptedExecutor(script)
    heard, _ = drive(executor, Store(), anchors_and_others("x"))
    assert len(executor.specs) == 1
    assert heard.notices == []
