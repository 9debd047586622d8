"""A lease: a chunk of trials, run one by one in a measuring process and committed one by one.

In: a `LeaseSpec`, the store, and the GPUs held. Out: events as they happen; a trial's outcome comes
after its commit. A lease never raises for a trial: a trial's error becomes its row. A lease ends
early only with `LeaseStopped`: results cannot be stored, the disk is full, or no cores become free.

A plain generator that knows nothing of Ray: closing it, or an interruption while it works, kills
its measuring process.
"""

from __future__ import annotations

import itertools
import shutil
import socket
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from frostline.device_id import cpu_id
from frostline.errors import StorageError, StoreUnreachableError, UsageError
from frostline.measure.client import DeadlineExceeded, ProcessDied
from frostline.measure.messages import Failed, Measured
from frostline.results.commit import Store, commit
from frostline.results.outcome import Beside, TrialOutcome, found_committed, outcome_of
from frostline.results.profile import (
    Converter,
    Converters,
    TrialProfile,
    new_converter,
    read_profile,
)
from frostline.results.rows import Failure, TrialRun, noise_of
from frostline.schedule.cores import CoreClaim, claim_cores, holders, pinned
from frostline.schedule.events import Idle, LeaseEvent, LeaseNotice, LeaseStopped, StageEntered
from frostline.schedule.interrupts import pause
from frostline.schedule.lease_spec import LeaseSpec
from frostline.schedule.warm_process import WarmProcess, kind_of
from frostline.scratch import refuse_full, scratch_folder
from frostline.trial import Trial, keeps_trace
from frostline.words import counted


def serve(
    spec: LeaseSpec, store: Store, *, gpu_ids: str = "", converters: Converters = new_converter
) -> Iterator[LeaseEvent]:
    """Run the trials of a lease.

    Args:
        spec: what to run.
        store: where outcomes are committed.
        gpu_ids: `CUDA_VISIBLE_DEVICES` of the measuring process.
        converters: makes the converter of traces.

    Yields:
        Events; one `TrialOutcome` for every trial unless `LeaseStopped` comes before.
    """
    try:
        with scratch_folder() as scratch, ExitStack() as held:
            claim = yield from _claim(spec)
            held.enter_context(claim)
            held.enter_context(pinned(claim.cores))
            group = WarmProcess(spec, cores=claim.cores, gpu_ids=gpu_ids, scratch=scratch)
            held.callback(group.drop)
            yield from _RunningLease(spec, store, group, scratch, held, converters).run()
            group.close()
    except (StorageError, UsageError) as error:
        yield LeaseStopped(message=str(error))
    except OSError as error:
        yield LeaseStopped(
            message=f"a lease cannot work on {socket.gethostname()}: {error}; see that the folder "
            "for temporary files (TMPDIR) has space, then run the same command again"
        )


def _claim(spec: LeaseSpec) -> Generator[LeaseEvent, None, CoreClaim]:
    """Wait for free cores; say so once."""
    count, limits = spec.resources.cpus, spec.limits
    end = time.monotonic() + limits.cores_wait_s
    told = False
    while (claim := claim_cores(count)) is None:
        others = ", ".join(map(str, holders())) or "unknown"
        cores = counted(count, "free CPU core")
        where = f"{cores} on {socket.gethostname()} (held by process {others})"
        if time.monotonic() > end:
            raise UsageError(
                f"waited {limits.cores_wait_s:.0f} s for {where}: let the other sweep finish, or "
                "lower cpus_per_trial under [resources]"
            )
        if not told:
            yield LeaseNotice(text=f"waiting for {where}")
            yield Idle()
            told = True
        pause(0.2)
    return claim


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """One start of one trial."""

    number: int
    started_at: datetime
    started: float
    folder: Path
    log: Path


class _RunningLease:
    def __init__(
        self,
        spec: LeaseSpec,
        store: Store,
        group: WarmProcess,
        scratch: Path,
        held: ExitStack,
        converters: Converters,
    ) -> None:
        self._spec = spec
        self._store = store
        self._group = group
        self._scratch = scratch
        self._held = held
        self._converters = converters
        self._converter: Converter | None = None
        self._attempts = dict(spec.attempts)
        self._kills = dict(spec.kills)
        self._without_baseline: set[str] = set()
        self._noise_floor = spec.noise_floor

    def run(self) -> Iterator[LeaseEvent]:
        no_baseline: Failure | None = None
        for trial in self._spec.trials:
            outcome: TrialOutcome | None = None
            while outcome is None:
                if no_baseline is None:
                    no_baseline = yield from self._group.opened_for(trial)
                attempt = self._start(trial)
                yield StageEntered(trial_id=trial.trial_id, stage="start")
                if no_baseline is not None:
                    shutil.copyfile(self._group.log, attempt.log)
                    outcome = yield from self._commit(trial, attempt, no_baseline)
                else:
                    outcome = yield from self._measure(trial, attempt)
                _clear(attempt.folder)
            yield outcome

    def _start(self, trial: Trial) -> _Attempt:
        number = self._attempts.get(trial.trial_id, 0) + 1
        self._attempts[trial.trial_id] = number
        refuse_full(self._scratch.parent)
        folder = self._scratch / "trial"
        folder.mkdir(exist_ok=True)
        return _Attempt(
            number=number,
            started_at=datetime.now(UTC),
            started=time.monotonic(),
            folder=folder,
            log=self._scratch / f"{trial.trial_id}.log",
        )

    def _measure(
        self, trial: Trial, attempt: _Attempt
    ) -> Generator[LeaseEvent, None, TrialOutcome | None]:
        """One attempt; None when another should follow."""
        try:
            reply = yield from self._group.run(trial, attempt.folder, attempt.log)
        except ProcessDied as death:
            kills = self._kills[trial.trial_id] = self._kills.get(trial.trial_id, 0) + 1
            if self._may_try_again(trial, attempt):
                yield Idle()
                pause(self._spec.limits.backoff(attempt.number))
                return None
            failure = _quarantined(death, kills, attempt.number)
            return (yield from self._commit(trial, attempt, failure))
        except DeadlineExceeded as late:
            failure = Failure(
                stage=late.stage,
                kind="Timeout",
                message=f"the trial was stopped: {late}; raise trial_timeout_s under [resources] "
                "if it needs longer",
            )
            return (yield from self._commit(trial, attempt, failure))
        if isinstance(reply, Failed):
            if reply.kind == "NoBaseline" and trial.trial_id not in self._without_baseline:
                # An earlier trial took the baseline with it, which is not this one's fault.
                self._without_baseline.add(trial.trial_id)
                self._attempts[trial.trial_id] -= 1
                self._group.drop()
                return None
            failure = Failure(stage=reply.stage, kind=reply.kind, message=reply.message)
            return (yield from self._commit(trial, attempt, failure))
        if reply.throttled and self._may_try_again(trial, attempt):
            yield LeaseNotice(
                text=f"trial {trial.trial_id}: its GPU was slowed down "
                f"({', '.join(reply.slowed_by)}), attempt {attempt.number}; it is measured again"
            )
            yield Idle()
            pause(self._spec.limits.cool_down_s)
            return None
        yield StageEntered(trial_id=trial.trial_id, stage="convert")
        if reply.trace_file is not None:  # converting it takes a while
            yield Idle()
        ready = self._group.ready
        profile = read_profile(
            reply,
            self._running_converter,
            trial=trial,
            device_id=ready.device_id if ready else cpu_id(()),
            deadline_s=self._spec.limits.convert_s,
        )
        yield StageEntered(trial_id=trial.trial_id, stage="store")
        outcome = yield from self._commit(trial, attempt, profile.failure, reply, profile)
        self._group.relieve(reply.rss_bytes)
        return outcome

    def _may_try_again(self, trial: Trial, attempt: _Attempt) -> bool:
        limits = self._spec.limits
        killed_often = self._kills.get(trial.trial_id, 0) >= limits.kills
        return attempt.number < limits.max_attempts and not killed_often

    def _commit(
        self,
        trial: Trial,
        attempt: _Attempt,
        failure: Failure | None,
        measured: Measured | None = None,
        profile: TrialProfile | None = None,
    ) -> Generator[LeaseEvent, None, TrialOutcome]:
        duration_s = time.monotonic() - attempt.started
        if failure is not None:
            refuse_full(self._scratch.parent)  # the disk has failed, and not the trial
        if trial.is_control and measured is not None:
            self._noise_floor = max(self._noise_floor or 0.0, noise_of(measured))
        ready = self._group.ready
        run = TrialRun(
            trial=trial,
            facts=self._spec.facts_of(trial),
            attempts=attempt.number,
            started_at=attempt.started_at,
            duration_s=duration_s,
            host=socket.gethostname(),
            device_kind=ready.device_kind if ready else None,
            device_id=ready.device_id if ready else None,
            jit_resolved=ready.jit_compile if ready else None,
            tensorflow_version=ready.tensorflow_version if ready else None,
            keras_version=ready.keras_version if ready else None,
            failure=failure,
            measured=measured,
            graph=profile.graph if profile else None,
            trace=profile.trace if profile else None,
            costs=profile.costs if profile else (),
            convert_s=profile.seconds if profile else None,
            trace_path=self._trace_path(trial, measured),
            noise_floor=self._noise_floor,
            process_trials=self._group.trials_served or None,
        )
        before = self._spec.again.get(trial.trial_id)
        if before is not None and not _is_better(run, before):
            return found_committed(trial, ok=True, attempts=attempt.number)
        storing = time.monotonic()
        yield from self._stored(run, attempt.log)
        return outcome_of(run, store_s=time.monotonic() - storing)

    def _stored(self, run: TrialRun, log: Path) -> Iterator[LeaseNotice | Idle]:
        """Commit a trial; while OUT cannot be reached, wait and try again."""
        limits = self._spec.limits
        end = time.monotonic() + limits.store_wait_s
        for tries in itertools.count(1):
            try:
                return commit(self._store, run, log=log)
            except StoreUnreachableError as error:
                left_s = end - time.monotonic()
                if left_s < 0:
                    raise
                if tries == 1:
                    yield LeaseNotice(
                        text=f"trial {run.trial.trial_id} is measured and cannot be stored yet: "
                        f"{error}; trying again for {left_s:.0f} s"
                    )
                    yield Idle()
                pause(min(limits.backoff(tries), left_s))

    def _trace_path(self, trial: Trial, measured: Measured | None) -> str | None:
        if measured is None or measured.trace_file is None:
            return None
        if not keeps_trace(self._spec.measure.keep_traces, trial):
            return None
        name = Path(measured.trace_file).name
        session = f"tensorboard/{trial.trial_id}/plugins/profile/{trial.trial_id}"
        return f"{session}/{name}"

    def _running_converter(self) -> Converter:
        if self._converter is None:
            self._converter = self._held.enter_context(self._converters(self._scratch))
        return self._converter


def _is_better(run: TrialRun, before: Beside) -> bool:
    """Whether a trial that is measured again replaces what is committed of it."""
    found = run.measured
    return (
        found is not None
        and run.failure is None
        and run.device_kind == before.device_kind
        and found.baseline_step_ns < before.step_ns
    )


def _clear(folder: Path) -> None:
    """Remove what a trial left in its folder, which the next one uses."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _quarantined(death: ProcessDied, kills: int, attempts: int) -> Failure:
    return Failure(
        stage=death.stage,
        kind=kind_of(death),
        message=f"{death} in stage {death.stage!r}, attempt {attempts}; {kills} processes died on "
        "this trial and it is not tried again. Its log may say more; if memory is short, lower "
        "batch_size or the number of trials at a time",
    )
