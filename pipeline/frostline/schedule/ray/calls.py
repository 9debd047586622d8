"""Calls into Ray, on a thread of their own: whoever waits for one has a limit and hears Ctrl-C.

In: functions that call Ray. Out: what they return. Ray's native code may wait for ever for a
process of its own that is stopped or gone, and notices no interruption meanwhile. A call that has
not returned within its limit is left to itself, and no further call is made: the thread is lost,
and ends with this process at the latest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import TypeVar

from frostline.errors import RayUnavailableError
from frostline.schedule.interrupts import hurried

_Result = TypeVar("_Result")
_SLICE_S = 0.1
_HURRIED_S = 2.0


class RayCalls:
    """One call after the other, all on the same thread.

    The thread lives as long as this does: the kernel ends Ray's processes when the thread that
    started them ends.
    """

    def __init__(self) -> None:
        self._lost = ""
        self._todo: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="frostline-ray")
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether a call has not returned within its limit."""
        return bool(self._lost)

    def begin(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Have a function called; `wait_for` gives what it returns."""
        call: Future[_Result] = Future()

        def run() -> None:
            try:
                call.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again by who waits
                call.set_exception(error)

        self._todo.put(run)
        return call

    def wait_for(
        self, call: Future[_Result], *, most_s: float, what: str, hurries: bool = True
    ) -> _Result:
        """What a call returns, once it does.

        Args:
            call: what `begin` gave.
            most_s: seconds to wait.
            what: what is waited for, for the message.
            hurries: wait for 2 s only, once there was a second interruption.

        Raises:
            RayUnavailableError: it took longer, or an earlier call has.
            BaseException: whatever the function raises.
        """
        end = time.monotonic() + most_s
        while not self._lost and not wait([call], timeout=_SLICE_S).done:
            if hurries and hurried():
                hurries, end = False, min(end, time.monotonic() + _HURRIED_S)
            if time.monotonic() > end:
                self._lost = (
                    f"Ray did not answer within {most_s:.0f} s ({what}): one of its processes may "
                    "be stopped or gone. What is measured is kept; run the same command again to "
                    "resume"
                )
        if self._lost and not call.done():
            raise RayUnavailableError(self._lost)
        return call.result()

    def ask(
        self, work: Callable[[], _Result], *, most_s: float, what: str, hurries: bool = True
    ) -> _Result:
        """`begin` and `wait_for` in one."""
        if self._lost:
            raise RayUnavailableError(self._lost)
        return self.wait_for(self.begin(work), most_s=most_s, what=what, hurries=hurries)

    def settle(self, work: Callable[[], object], *, most_s: float) -> None:
        """Have a function called even so, now that what a lost call waits for is gone."""
        call = self.begin(work)
        if wait([call], timeout=most_s).done:
            self._lost = ""

    def close(self) -> None:
        """Let the thread end, unless it is lost."""
        self._todo.put(None)
        if not self._lost:
            self._thread.join(_SLICE_S)

    def _serve(self) -> None:
        while (work := self._todo.get()) is not None:
            work()
