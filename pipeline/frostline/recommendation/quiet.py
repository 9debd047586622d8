"""Keeps standard output clean while a solver runs.

HiGHS sometimes prints a debugging line from C, past Python's streams ("tmpSolver.run()", SciPy
1.17). On standard output that line would be in the middle of a result, JSON included.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_stdout() -> Iterator[None]:
    """Drop what anything in this process writes to file descriptor 1 inside the block."""
    libc = ctypes.CDLL(None)
    sys.stdout.flush()
    libc.fflush(None)
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        libc.fflush(None)
        os.dup2(kept, 1)
        os.close(nowhere)
        os.close(kept)
