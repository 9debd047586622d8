"""Interruptions: SIGTERM is one, like Ctrl-C, and waits end soon after one.

What stops a job or a machine must not lose children. The first interruption is a
`KeyboardInterrupt`: the run ends what it has started, which takes `END_S` seconds at the most. The
second one makes it end all that at once, without waiting for anybody (`hurried`). The third ends
the process on the spot; the kernel then ends its children.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

from frostline.errors import INTERRUPTED

END_S = 60.0
"""Seconds that a run takes to end after the first interruption, whatever hangs."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SLICE_S = 0.05
_SHOW_CURSOR = b"\x1b[?25h\n"


@dataclass(slots=True)
class _Interruptions:
    """How many there were since the running `interruptible` block began."""

    count: int = 0


_seen = _Interruptions()


def hurried() -> bool:
    """Whether a second interruption has come: whoever still waits gives up at once."""
    return _seen.count > 1


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Raise `KeyboardInterrupt` in the main thread on SIGINT and SIGTERM inside the block.

    Only for the first of them, so that what the block does to end in order is not interrupted
    itself; see above for the others. Outside the main thread nothing is changed.

    Yields:
        A function that installs the handlers again after a library has replaced them, as Ray's
        native code does with SIGTERM when it starts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        _seen.count += 1
        if _seen.count == 1:
            raise KeyboardInterrupt
        if _seen.count > 2:
            _end_here()

    def take() -> None:
        for number in _SIGNALS:
            signal.signal(number, interrupt)

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    _seen.count = 0
    take()
    try:
        yield take
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _seen.count = 0


def pause(seconds: float) -> None:
    """Sleep in slices: Ray cancels a task by an interruption that a longer call would not see."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(_SLICE_S, left))


def _end_here() -> None:
    with suppress(OSError, ValueError):  # a progress bar hides the cursor
        if sys.__stderr__ is not None and sys.__stderr__.isatty():
            os.write(sys.__stderr__.fileno(), _SHOW_CURSOR)
    os._exit(INTERRUPTED)
