"""Waits for foreign code that does not notice Ctrl-C.

In: a function that may take long inside a library. Out: what it returns. Arrow's file systems do
not return to Python while they try again, so that an interruption would have to wait for them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")
_SLICE_S = 0.1


def interruptibly(work: Callable[[], _Result]) -> _Result:
    """Run a function on a thread of its own and wait for it; an interruption ends the wait.

    The thread is then left to itself and ends with the process at the latest.

    Raises:
        KeyboardInterrupt: the wait was interrupted.
        BaseException: whatever the function raises.
    """
    results: list[_Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="frostline-waiting")
    thread.start()
    while thread.is_alive():
        thread.join(_SLICE_S)
    if errors:
        raise errors[0]
    return results[0]
