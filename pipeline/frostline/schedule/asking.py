"""A request to a measuring process as a generator of its stages, and waiting that can be cancelled.

`MeasureProcess.request` blocks and reports stages through a callback; a lease is a generator whose
stages should reach the driver while the request runs. So the request waits in a thread of its own.
Every wait here is a series of short ones: Ray cancels a task by an interruption that a blocked
system call would not see.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

from frostline.measure.client import POLL_S, MeasureProcess
from frostline.measure.messages import Reply, Request
from frostline.schedule.events import Idle, StageEntered


def ask(
    process: MeasureProcess, request: Request, *, trial_id: str, deadline_s: float
) -> Generator[StageEntered | Idle, None, Reply]:
    """Send a request; yield the stages it goes through, and `Idle` in between; return its answer.

    Whatever interrupts this generator, its being closed included, kills the process.

    Args:
        process: started by this thread: a child dies with the thread that started it.
        request: what to send.
        trial_id: the trial that the stages belong to.
        deadline_s: limit for the answer.

    Raises:
        ProcessDied: as `MeasureProcess.request`.
        DeadlineExceeded: as `MeasureProcess.request`.
    """
    stages: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def request_and_tell() -> Reply:
        try:
            return process.request(request, deadline_s=deadline_s, on_progress=stages.put)
        finally:
            stages.put(None)  # so that nobody waits out a slice for an answer that is there

    with ThreadPoolExecutor(1, thread_name_prefix="frostline-ask") as pool:
        answer = pool.submit(request_and_tell)
        try:
            while True:
                try:
                    stage = stages.get(timeout=POLL_S)
                except queue.Empty:
                    yield Idle()
                    continue
                if stage is None:
                    return answer.result()
                yield StageEntered(trial_id=trial_id, stage=stage)
        except BaseException:
            process.kill()  # which also ends the thread that waits for its answer
            raise


def pause(seconds: float) -> None:
    """Sleep, in slices."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(POLL_S, left))
