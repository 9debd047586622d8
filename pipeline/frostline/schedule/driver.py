"""The driver: hands chunks to an executor until every trial of the plan is committed.

In: chunks, an executor, the store. Out: events to a listener, and sums. What happens to a lease is
decided here, once for all executors. Of a lost lease, the trials that are committed count, the
trial that was running is charged with the loss, and the rest runs again after a pause. A lease that
says nothing for longer than its stage allows, because it is stopped or hangs, is ended and counts
as lost. A trial that is charged too often becomes a failed row, so that every sweep ends. Where a
machine had no memory left, the rest runs when nothing else does. When all is done, anchors that
were measured while the machine was slow run once more (`slow_anchors`).

A lost lease whose node is merely cut off may go on and commit a trial that runs again elsewhere;
the later commit replaces the earlier one whole, so a reader still counts each trial once.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from frostline.errors import SweepStoppedError
from frostline.results.commit import Store, commit
from frostline.results.outcome import (
    LEASE_LOST,
    Beside,
    TrialOutcome,
    found_committed,
    outcome_of,
)
from frostline.results.rows import Failure, TrialRun
from frostline.schedule.chunks import Chunk
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
from frostline.schedule.interrupts import END_S
from frostline.schedule.lease_spec import BEFORE, LeaseSpec, Limits
from frostline.schedule.listener import SweepListener
from frostline.schedule.slow_anchors import Group, SlowAnchors, group_of
from frostline.store.address import Address
from frostline.store.spool import Stored
from frostline.trial import Trial
from frostline.words import counted

_POLL_S = 0.2
_TICK_S = 5.0  # a look at the leases takes less, unless this process was stopped itself


class Executor(Protocol):
    """Runs leases in processes of their own, here or elsewhere, as `RayExecutor` does."""

    @property
    def start_s(self) -> float:
        """Seconds that it took to start; 0 for what needs no start."""

    @property
    def slots(self) -> int:
        """Leases that can run at the same time, as far as is known now."""

    @property
    def window(self) -> int:
        """How many leases the driver keeps submitted at the same time."""

    def submit(self, spec: LeaseSpec) -> int:
        """Start a lease as soon as there is room; return its number."""

    def poll(self, timeout_s: float) -> list[tuple[int, ExecutorEvent]]:
        """Wait for events, at most so long; every lease ends with `LeaseEnded` or `LeaseLost`."""

    def store_kept(self, out: Address) -> list[Stored]:
        """Let every other machine store what it keeps for an OUT."""

    def kill(self, number: int) -> None:
        """End a lease that has begun, without asking it; nothing more is heard of it."""

    def cancel(self) -> None:
        """End all leases and their processes, and wait until they are gone, within a time."""


class CommittedStore(Store, Protocol):
    """What the driver needs of the store on top of what a lease does."""

    def commits(self) -> Mapping[str, str]:
        """Status by committed trial."""


@dataclass(slots=True, kw_only=True)
class _SubmittedLease:
    """A submitted lease: its trials that are not yet accounted for, and the one it is at.

    Attributes:
        alone: nothing else runs beside it.
        heard_s: when it was heard of last, by the driver's clock; None while it waits in a queue.
    """

    left: dict[str, Trial]
    current: str | None = None
    stage: str = BEFORE
    alone: bool = False
    heard_s: float | None = None


class Driver:
    """One drive through a list of chunks.

    Attributes:
        seconds: wall time by phase, summed over outcomes (`TrialOutcome.seconds`) and openings
            (`GroupOpened.seconds`, prefixed `open_`).
        attempts: starts by trial.
    """

    def __init__(
        self,
        *,
        executor: Executor,
        store: CommittedStore,
        spec_of: Callable[[tuple[Trial, ...]], LeaseSpec],
        limits: Limits,
        listener: SweepListener,
        still_ours: Callable[[], None] = lambda: None,
        noise: Mapping[Group, float] | None = None,
        beside: Mapping[Group, Mapping[str, Beside]] | None = None,
        lost_before: Collection[str] = (),
    ) -> None:
        """Take what a drive needs.

        Args:
            executor: where leases run.
            store: for the commits of lost leases, and the rows of trials that are given up.
            spec_of: makes the lease of a chunk; attempts, kills and noise floor are added here.
            limits: how often to try.
            listener: hears what happens.
            still_ours: raises when another driver has taken the results over.
            noise: noise floors over the controls that are committed already.
            beside: the baselines that committed trials were measured beside, by `trial_id`.
            lost_before: trials of which an earlier run committed only that their lease was lost.
        """
        self.seconds: dict[str, float] = defaultdict(float)
        self.attempts: dict[str, int] = defaultdict(int)
        self._kills: dict[str, int] = defaultdict(int)
        self._losses: dict[str, int] = defaultdict(int)
        self._lost_before = frozenset(lost_before)
        self._noise: dict[Group, float] = dict(noise or {})
        self._slow = SlowAnchors(beside or {})
        self._executor = executor
        self._store = store
        self._spec_of = spec_of
        self._limits = limits
        self._listener = listener
        self._still_ours = still_ours
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, tuple[Trial, ...]]] = []
        self._alone: deque[tuple[Trial, ...]] = deque()
        self._leases: dict[int, _SubmittedLease] = {}
        self._clock = _Clock()

    def run(self, chunks: Iterable[Chunk]) -> None:
        """Run every chunk to its end.

        Whatever ends it early, an interruption included, cancels the leases first.

        Raises:
            SweepStoppedError: a lease could not go on, e.g. because the disk is full.
        """
        for chunk in chunks:
            self._wait(chunk.trials, seconds=0.0)
        try:
            while self._waiting or self._leases or self._alone or self._measure_again():
                self._still_ours()
                self._submit()
                for number, event in self._executor.poll(_POLL_S):
                    self._take(number, event)
                self._clock.tick()
                self._end_silent()
        except KeyboardInterrupt:
            self._listener.on_notice(
                f"interrupted: ending what runs, within {END_S:.0f} s; once more ends it at once"
            )
            raise
        finally:
            self._executor.cancel()

    def _wait(self, trials: tuple[Trial, ...], *, seconds: float) -> None:
        entry = (time.monotonic() + seconds, next(self._order), trials)
        heapq.heappush(self._waiting, entry)

    def _measure_again(self) -> bool:
        """Queue, once, the anchors that were measured while the machine was slow."""
        picked = self._slow.pick(self.attempts, most=self._limits.max_attempts)
        for text, trials in picked:
            self._listener.on_notice(text)
            self._wait(tuple(trials), seconds=0.0)
        return bool(picked)

    def _submit(self) -> None:
        if self._alone and not self._waiting and not self._leases:
            self._start(self._alone.popleft(), alone=True)
        now = time.monotonic()
        while (
            self._waiting
            and self._waiting[0][0] <= now
            and len(self._leases) < self._executor.window
            and not any(lease.alone for lease in self._leases.values())
        ):
            self._start(heapq.heappop(self._waiting)[2])

    def _start(self, trials: tuple[Trial, ...], *, alone: bool = False) -> None:
        ids = [trial.trial_id for trial in trials]
        spec = replace(
            self._spec_of(trials),
            attempts={each: self.attempts[each] for each in ids if each in self.attempts},
            kills={each: self._kills[each] for each in ids if each in self._kills},
            again={each: was for each, was in self._slow.again.items() if each in ids},
            noise_floor=self._noise.get(group_of(trials[0])),
        )
        left = dict(zip(ids, trials, strict=True))
        self._leases[self._executor.submit(spec)] = _SubmittedLease(left=left, alone=alone)

    def _take(self, number: int, event: ExecutorEvent) -> None:
        lease = self._leases.get(number)
        if lease is None:
            return
        lease.heard_s = self._clock.now_s
        match event:
            case LeaseBegun():
                pass
            case StageEntered(trial_id=trial_id, stage=stage):
                if stage == "start":
                    self.attempts[trial_id] += 1
                lease.current, lease.stage = trial_id, stage
                self._listener.on_stage(trial_id, stage)
            case GroupOpened(seconds=seconds):
                self._add(seconds, "open_")
            case TrialOutcome():
                self._account(lease, event)
            case LeaseNotice(text=text):
                self._listener.on_notice(text)
            case LeaseStopped(message=message):
                raise SweepStoppedError(message)
            case LeaseEnded():
                del self._leases[number]
                if lease.left:
                    self._recover(lease, LeaseLost(cause="error", message="it ended too early"))
            case LeaseLost():
                del self._leases[number]
                self._recover(lease, event)

    def _end_silent(self) -> None:
        """End the leases that would have been heard of, were they alive."""
        for number, lease in list(self._leases.items()):
            most_s = self._limits.silence_s(lease.stage)
            if lease.heard_s is None or self._clock.now_s - lease.heard_s <= most_s:
                continue
            self._executor.kill(number)
            del self._leases[number]
            message = f"it said nothing for {most_s:.0f} s in stage {lease.stage!r} and was ended"
            self._recover(lease, LeaseLost(cause="worker", message=message))

    def _account(self, lease: _SubmittedLease, outcome: TrialOutcome) -> None:
        trial = lease.left.pop(outcome.trial_id, None)
        if trial is None:  # a commit that was found before its event came
            return
        lease.current, lease.stage = None, "start"
        self._add(outcome.seconds)
        if trial.is_control and outcome.noise is not None:
            group = group_of(trial)
            self._noise[group] = max(self._noise.get(group, 0.0), outcome.noise)
        again = outcome.trial_id in self._slow.again
        if not again:
            self._slow.hear(trial, outcome)
        self._listener.on_outcome(replace(outcome, again=again))

    def _recover(self, lease: _SubmittedLease, lost: LeaseLost) -> None:
        """Count what a lost lease has committed, charge the trial it was at, run the rest again."""
        commits = dict(self._store.commits()) if lease.left else {}
        for key in self._lost_before & commits.keys():
            if commits[key] != "ok":  # by an earlier run, or to be tried again like those
                del commits[key]
        for trial in [trial for key, trial in lease.left.items() if key in commits]:
            found = found_committed(
                trial, ok=commits[trial.trial_id] == "ok", attempts=self.attempts[trial.trial_id]
            )
            self._account(lease, found)
        if not lease.left:
            return
        suspect = lease.left.get(lease.current or "")
        if suspect is None:  # the lease was between trials, or had not begun one
            suspect = next(iter(lease.left.values()))
            self.attempts[suspect.trial_id] += 1
        self._losses[suspect.trial_id] += 1
        if lost.cause != "node":
            self._kills[suspect.trial_id] += 1
        attempts = self.attempts[suspect.trial_id]
        given_up = (
            attempts >= self._limits.max_attempts
            or self._kills.get(suspect.trial_id, 0) >= self._limits.kills
        )
        wait_s = self._limits.backoff(attempts)
        then = f"trying again in {wait_s:.0f} s"
        if lost.short_of_memory:
            then = "trying again when nothing else runs"
        self._listener.on_notice(
            f"lost a lease ({lost.cause}) at trial {suspect.trial_id}, attempt {attempts}: "
            f"{lost.message}; " + ("the trial is given up" if given_up else then)
        )
        if given_up:
            stage = "start" if lease.stage == BEFORE else lease.stage
            self._account(lease, self._give_up(suspect, stage, lost))
        if lease.left and lost.short_of_memory:
            self._alone.append(tuple(lease.left.values()))
        elif lease.left:
            self._wait(tuple(lease.left.values()), seconds=wait_s)

    def _give_up(self, trial: Trial, stage: str, lost: LeaseLost) -> TrialOutcome:
        times = counted(self._losses[trial.trial_id], "time")
        kind = "LeaseError" if lost.cause == "error" else LEASE_LOST
        run = TrialRun(
            trial=trial,
            facts=self._spec_of((trial,)).facts_of(trial),
            attempts=self.attempts[trial.trial_id],
            started_at=datetime.now(UTC),
            duration_s=0.0,
            failure=Failure(
                stage=stage,
                kind=kind,
                message=f"its lease was lost with it {times}, last ({lost.cause}): {lost.message}",
            ),
        )
        commit(self._store, run)
        return outcome_of(run, store_s=0.0)

    def _add(self, seconds: Mapping[str, float], prefix: str = "") -> None:
        for phase, spent in seconds.items():
            self.seconds[prefix + phase] += spent


class _Clock:
    """Seconds that the driver has watched: while it is stopped itself, nobody is silent."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._before = time.monotonic()

    def tick(self) -> None:
        """Move on, by what went by since the last time, and by `_TICK_S` at the most."""
        now = time.monotonic()
        self.now_s += min(now - self._before, _TICK_S)
        self._before = now
