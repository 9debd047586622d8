"""A process of this program that answers lines with lines, through its standard input and output.

The parent starts it as a `Child`, sends it a line and takes the lines that come back, with a
deadline. The child calls `connect_to_parent` before anything else. What the lines mean is up to the
two sides. This module imports nothing heavy.

A plain process, because nothing but killing ends a native call, and because a Ray worker is niced,
threaded and prone to be killed for memory in ways that spoil a measurement.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO, Self, cast

from frostline.launch import command

_SLICE_S = 0.05
_CLOSE_S = 10.0
_DEATH_S = 2.0
_KILLED_S = 10.0  # a system call that hangs, as on a lost network disk, keeps even the killed
_AT_ONCE = 1 << 20
_CORES = "FROSTLINE_CORES"
PARENT = "FROSTLINE_PARENT"
"""In the environment of a child: the process that it ends with."""
_PR_SET_PDEATHSIG = 1


class Child:
    """The parent's side of a child process; a context manager that ends it.

    The kernel ends the child when the thread that started it ends.
    """

    def __init__(
        self,
        module: str,
        *,
        log: Path,
        cores: tuple[int, ...] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start it.

        Args:
            module: what it runs; calls `connect_to_parent`.
            log: file that its standard error is appended to.
            cores: CPU cores it may use; empty: those of the parent.
            env: variables to set on top of the parent's environment.
        """
        own = {_CORES: ",".join(map(str, cores)), PARENT: str(os.getpid())}
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stderr:
            self._popen = subprocess.Popen(
                command(module),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(env or {}), **own},
                bufsize=0,
            )
        self._stdin = cast(IO[bytes], self._popen.stdin)
        self._stdout = cast(IO[bytes], self._popen.stdout)
        self._received = bytearray()
        # A pipe holds 64 KiB: a longer line would wait for a child that does not read.
        os.set_blocking(self._stdin.fileno(), False)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """As in `subprocess` (negative: killed by that signal); None while it runs."""
        return self._popen.poll()

    def ask(self, line: bytes, *, deadline_s: float) -> Iterator[bytes | None]:
        """Send a line and give those that come back, until the caller has had enough.

        Sends and receives in slices of 50 ms: Ray cancels a task by an interruption that a longer
        system call would not see.

        Args:
            line: one line, its end included.
            deadline_s: seconds for all of it, from the first line asked for.

        Yields:
            Lines without their end; None where 50 ms went by without anything.

        Raises:
            EOFError: the child ended or closed its output; the message says how.
            TimeoutError: `deadline_s` seconds went by.
        """
        end = time.monotonic() + deadline_s
        unsent = memoryview(line)
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdin, selectors.EVENT_WRITE)
            selector.register(self._stdout, selectors.EVENT_READ)
            while True:
                late = time.monotonic() > end  # lines that have already arrived are still taken
                ready = [key.fileobj for key, _ in selector.select(0 if late else _SLICE_S)]
                if self._stdin in ready:
                    unsent = unsent[self._send(unsent) :]
                    if not unsent:
                        selector.unregister(self._stdin)
                if self._stdout in ready:
                    self._receive()
                while b"\n" in self._received:
                    first, _, self._received = self._received.partition(b"\n")
                    yield bytes(first)
                if late:
                    raise TimeoutError
                if not ready:
                    yield None

    def _send(self, unsent: memoryview) -> int:
        try:
            return os.write(self._stdin.fileno(), unsent)
        except BrokenPipeError:
            raise self._death() from None

    def _receive(self) -> None:
        chunk = os.read(self._stdout.fileno(), _AT_ONCE)
        if not chunk:
            raise self._death()
        self._received += chunk

    def _death(self) -> EOFError:
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(_DEATH_S)
        return EOFError(_how_it_ended(self.returncode))

    def close(self) -> None:
        """Let it end by itself; kill it when it does not within 10 s. Safe to call twice."""
        self._stdin.close()
        try:
            self._popen.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """End it now and wait until it is gone, for 10 s at the most. Safe to call twice."""
        self._popen.kill()
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(_KILLED_S)
        self._stdin.close()
        self._stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _how_it_ended(returncode: int | None) -> str:
    """A process's end in words: signal by name, with the usual cause of SIGKILL."""
    if returncode is None:
        return "closed its pipe and hangs"
    if returncode >= 0:
        return f"ended with exit code {returncode}; its log says why"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:  # one of the many real-time signals without a name
        name = f"signal {-returncode}"
    hint = " (often the kernel's out-of-memory killer)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"


def connect_to_parent() -> BinaryIO:
    """Make this process a child: it ends with its parent and keeps to the cores it was given.

    Returns:
        Where answers go, a line at a time; requests come from standard input until it ends. What
        libraries print to standard output goes to standard error from now on.
    """
    die_with_parent(int(os.environ.get(PARENT, os.getppid())))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the parent handles it
    if cores := os.environ.get(_CORES):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return answers


def die_with_parent(parent: int, by: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when its parent ends, however that happens.

    Args:
        parent: its process id; when it has ended already, this process ends as well.
        by: the signal.
    """
    with suppress(OSError, AttributeError):  # Linux alone offers it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:
        raise SystemExit(1)
