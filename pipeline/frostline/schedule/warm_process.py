"""The measuring process of a lease, kept warm: opened when needed, replaced when it has to be.

In: the lease's spec, its cores and its GPUs. Out: answers to `RunTrial`, or the failure of the
baseline, which is that of every trial left in the lease.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from frostline.measure.client import DeadlineExceeded, MeasureProcess, ProcessDied
from frostline.measure.messages import (
    Failed,
    Measured,
    OpenGroup,
    Ready,
    Reply,
    Request,
    RunTrial,
)
from frostline.results.rows import Failure
from frostline.schedule.events import GroupOpened, Idle, LeaseEvent, StageEntered
from frostline.schedule.interrupts import pause
from frostline.schedule.lease_spec import LeaseSpec
from frostline.trial import Trial


class WarmProcess:
    """At most one measuring process, with the baseline of the lease's group in it.

    Attributes:
        ready: what the process said of its device; None while there is none.
        trials_served: trials that the process has measured.
        log: file with the output of the last opening.
    """

    def __init__(
        self, spec: LeaseSpec, *, cores: tuple[int, ...], gpu_ids: str, scratch: Path
    ) -> None:
        self.ready: Ready | None = None
        self.trials_served = 0
        self.log = scratch / "open-0.log"
        self._spec = spec
        self._cores = cores
        self._gpu_ids = gpu_ids
        self._scratch = scratch
        self._process: MeasureProcess | None = None
        self._opened = 0
        self._rss_after_second = 0
        self._oversized = 0

    def opened_for(self, trial: Trial) -> Generator[LeaseEvent, None, Failure | None]:
        """Make sure that the process holds the baseline; return why it cannot.

        A process that dies while it opens is tried again. A baseline that cannot be built, or takes
        too long, is not: another attempt would end the same way.
        """
        deaths = 0
        while self._process is None:
            try:
                failure = yield from self._open(trial)
            except ProcessDied as death:
                self.drop()
                deaths += 1
                if deaths >= min(self._spec.limits.kills, self._spec.limits.max_attempts):
                    return Failure(
                        stage=death.stage,
                        kind=kind_of(death),
                        message=f"opening the baseline failed {deaths} times: {death}; {_MEMORY}",
                    )
                yield Idle()
                pause(self._spec.limits.backoff(deaths))
                continue
            except DeadlineExceeded as late:
                self.drop()
                return Failure(
                    stage=late.stage,
                    kind="Timeout",
                    message=f"the baseline was not ready: {late}; raise trial_timeout_s under "
                    "[resources], or look into the log for what it waits for",
                )
            if failure is not None:
                self.drop()
                return Failure(
                    stage=failure.stage,
                    kind=failure.kind,
                    message=f"the baseline failed: {failure.message}",
                )
        return None

    def run(
        self, trial: Trial, folder: Path, log: Path
    ) -> Generator[LeaseEvent, None, Measured | Failed]:
        """Measure one trial; a process that does not survive it is dropped.

        Raises:
            ProcessDied: it ended or gave an answer that is no reply.
            DeadlineExceeded: the trial took too long.
        """
        process = self._process
        if process is None:
            raise RuntimeError("no baseline is open")
        request = RunTrial(trial=trial, scratch=str(folder), log_path=str(log))
        try:
            reply = yield from self._ask(process, request, trial)
        except BaseException:
            self.drop()
            raise
        if not isinstance(reply, Measured | Failed):
            self.drop()
            raise _nonsense(reply)
        self.trials_served += 1
        if isinstance(reply, Failed) and reply.fatal:
            self.drop()
        return reply

    def relieve(self, rss_bytes: int) -> None:
        """Replace the process when its memory does not come back or it has served long enough."""
        limits = self._spec.limits
        if self.trials_served >= 2 and not self._rss_after_second:  # the second may have failed
            self._rss_after_second = rss_bytes
        bound = max(
            self._rss_after_second * limits.rss_growth,
            self._rss_after_second + limits.rss_growth_bytes,
        )
        grown = self.trials_served > 2 and rss_bytes > bound
        self._oversized = self._oversized + 1 if grown else 0
        if self._oversized >= 2 or self.trials_served >= limits.trials_per_process:
            self.close()

    def drop(self) -> None:
        """Kill the process, if there is one."""
        if self._process is not None:
            self._process.kill()
        self._forget()

    def close(self) -> None:
        """Let the process end by itself."""
        if self._process is not None:
            self._process.close()
        self._forget()

    def _forget(self) -> None:
        self._process = None
        self.trials_served = 0
        self._rss_after_second = 0
        self._oversized = 0

    def _open(self, trial: Trial) -> Generator[LeaseEvent, None, Failed | None]:
        started = time.monotonic()
        self.log = self._scratch / f"open-{self._opened}.log"
        self._opened += 1
        self._process = MeasureProcess(
            cores=self._cores,
            gpu_ids=self._gpu_ids,
            log_path=self.log,
            module=self._spec.process_module,
        )
        request = OpenGroup(
            model=trial.model.plain,
            setting=trial.setting,
            measure=self._spec.measure,
            log_path=str(self.log),
        )
        reply = yield from self._ask(self._process, request, trial)
        if isinstance(reply, Failed):
            return reply
        if not isinstance(reply, Ready):
            raise _nonsense(reply)
        self.ready = reply
        yield GroupOpened(seconds={**reply.seconds, "open": time.monotonic() - started})
        return None

    def _ask(
        self, process: MeasureProcess, request: Request, trial: Trial
    ) -> Generator[StageEntered | Idle, None, Reply]:
        """`MeasureProcess.request`, its progress as events of the trial."""
        deadline_s = self._spec.limits.trial_timeout_s
        with closing(process.request(request, deadline_s=deadline_s)) as waiting:
            while True:
                try:
                    stage = next(waiting)
                except StopIteration as end:
                    reply: Reply = end.value
                    return reply
                yield (
                    Idle() if stage is None else StageEntered(trial_id=trial.trial_id, stage=stage)
                )


_MEMORY = "if memory is short, lower batch_size or the number of trials at a time"


def kind_of(death: ProcessDied) -> str:
    """`trials.error_type` of a process's death."""
    killed = death.returncode is not None and death.returncode < 0
    return "ProcessKilled" if killed else "ProcessDied"


def _nonsense(reply: Reply) -> ProcessDied:
    return ProcessDied("start", None, f"the measuring process answered {reply.op!r}, out of turn")
