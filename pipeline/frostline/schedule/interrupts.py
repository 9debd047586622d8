"""Interruptions: SIGTERM is one, like Ctrl-C, and waits end soon after one.

What stops a job or a machine must not lose children.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Raise `KeyboardInterrupt` in the main thread on SIGINT and SIGTERM inside the block.

    Only the first of them: while the block cleans up, further ones are ignored, so that an
    impatient second Ctrl-C leaves no process behind. Outside the main thread nothing is changed.

    Yields:
        A function that installs the handlers again after a library has replaced them, as Ray's
        native code does with SIGTERM when it starts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    told = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal told
        if not told:
            told = True
            raise KeyboardInterrupt

    def take() -> None:
        for number in _SIGNALS:
            signal.signal(number, interrupt)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    take()
    try:
        yield take
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pause(seconds: float) -> None:
    """Sleep in slices: Ray cancels a task by an interruption that a longer call would not see."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(_SLICE_S, left))


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SLICE_S = 0.05
