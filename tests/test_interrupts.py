"""What the first, the second and the third interruption do to a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from frostline.schedule.interrupts import hurried, interruptible, pause

# Says what it is at, line by line, so that the test knows when to interrupt it again.
STUBBORN = """
import sys, time
from frostline.schedule.interrupts import hurried, interruptible
with interruptible():
    try:
        print("working", flush=True)
        time.sleep(600)
    except KeyboardInterrupt:
        print("ending", flush=True)
        while not hurried():
            time.sleep(0.01)
        print("hurried", flush=True)
        time.sleep(600)
    finally:
        print("not reached", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_interrupts_the_second_hurries_the_third_ends(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for said in ("working", "ending", "hurried"):
            assert process.stdout.readline() == f"{said}\n"
            process.send_signal(number)
        rest = process.stdout.read()
    assert process.returncode == 130
    assert rest == ""


def test_each_block_counts_for_itself() -> None:
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), interruptible():  # noqa: PT012
            os.kill(os.getpid(), signal.SIGINT)
            pause(5)
        assert not hurried()


def test_what_handled_signals_before_does_so_again() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with interruptible() as take:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a library might
        take()
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_other_threads_leave_the_handlers_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def run() -> None:
        with interruptible():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]
