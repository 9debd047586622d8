"""The parent's side of a measuring process: start it, ask it, give up on it, end it.

The process is a plain child with an environment of its own, because a Ray worker is niced, threaded
and OOM-prone in ways that spoil a measurement. Imports neither TensorFlow nor Keras.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from frostline.errors import FrostlineError
from frostline.launch import command
from frostline.measure.messages import REPLIES, Close, Failed, Progress, Reply, Request, line_of

POLL_S = 0.05
_CLOSE_S = 10.0


class ProcessDied(FrostlineError):
    """The measuring process ended, or stopped making sense, in the middle of a request.

    Attributes:
        stage: the last stage it reported.
        returncode: as in `subprocess` (negative: killed by that signal); None if it was not dead.
    """

    def __init__(self, stage: str, returncode: int | None, detail: str) -> None:
        super().__init__(detail)
        self.stage = stage
        self.returncode = returncode


class DeadlineExceeded(FrostlineError):
    """A request took longer than allowed; the process has been killed.

    Attributes:
        stage: the last stage it reported.
        deadline_s: the limit, in seconds.
    """

    def __init__(self, stage: str, deadline_s: float) -> None:
        super().__init__(f"no answer after {deadline_s:.0f} s, in stage {stage!r}")
        self.stage = stage
        self.deadline_s = deadline_s


class MeasureProcess:
    """One measuring process; serves one request at a time."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self._buffer = b""
        self._stage = "start"
        stdin, stdout = popen.stdin, popen.stdout
        if stdin is None or stdout is None:
            raise ValueError("the process needs pipes for both directions")
        self._stdin: BinaryIO = stdin  # type: ignore[assignment]
        self._stdout: BinaryIO = stdout  # type: ignore[assignment]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)

    @classmethod
    def start(
        cls,
        *,
        cores: tuple[int, ...],
        gpu_ids: str,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        module: str = "frostline.measure.process",
    ) -> MeasureProcess:
        """Start a process; it imports TensorFlow when the first request comes.

        Args:
            cores: CPU cores it may use; also its number of intra-op threads. Empty: those of the
                parent.
            gpu_ids: `CUDA_VISIBLE_DEVICES` for it; "" hides every GPU.
            log_path: file for its output until the first request names another.
            env: variables to set on top of the parent's environment.
            module: the module run; tests put a speaker of the same protocol here.
        """
        threads = len(cores) or len(os.sched_getaffinity(0))
        environment = {
            **os.environ,
            **(env or {}),
            "CUDA_VISIBLE_DEVICES": gpu_ids,
            "OMP_NUM_THREADS": str(threads),
            "FROSTLINE_CORES": ",".join(str(core) for core in cores),
            "FROSTLINE_PARENT": str(os.getpid()),
            "KERAS_BACKEND": "tensorflow",
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1"),
        }
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            popen = subprocess.Popen(
                command(module),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                bufsize=0,
            )
        return cls(popen)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._popen.pid

    def request(self, request: Request, *, deadline_s: float) -> Generator[str | None, None, Reply]:
        """Send a request and wait for its answer.

        Waits in slices of 50 ms: Ray cancels a task by an interruption that a longer system call
        would not see. On any failure, an interruption or the closing of the generator included,
        the process is killed: it may be half way through anything.

        Yields:
            The stages that the process enters; None where 50 ms went by without any.

        Returns:
            `Inspected`, `Ready`, `Measured` or `Failed`.

        Raises:
            ProcessDied: it ended, closed its pipe, or answered something that is no reply.
            DeadlineExceeded: `deadline_s` seconds went by.
        """
        self._stage = "start"
        end = time.monotonic() + deadline_s
        try:
            try:
                self._stdin.write(line_of(request))
            except BrokenPipeError:
                raise self._death() from None
            while True:
                reply = yield from self._next_reply(end, deadline_s)
                if not isinstance(reply, Progress):
                    if isinstance(reply, Failed) and reply.fatal:
                        self.kill()
                    return reply
                self._stage = reply.stage
                yield reply.stage
        except BaseException:
            self.kill()
            raise

    def reply_to(self, request: Request, *, deadline_s: float) -> Reply:
        """The answer to a request, for a caller who does nothing meanwhile; see `request`."""
        with closing(self.request(request, deadline_s=deadline_s)) as waiting:
            while True:
                try:
                    next(waiting)
                except StopIteration as end:
                    reply: Reply = end.value
                    return reply

    def _next_reply(self, end: float, deadline_s: float) -> Generator[None, None, Reply]:
        while b"\n" not in self._buffer:
            if self._selector.select(timeout=POLL_S):
                chunk = os.read(self._stdout.fileno(), 1 << 20)
                if not chunk:
                    raise self._death()
                self._buffer += chunk
            elif time.monotonic() > end:
                raise DeadlineExceeded(self._stage, deadline_s)
            else:
                yield None
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            return REPLIES.validate_json(line)
        except ValidationError as error:
            shown = line[:200].decode(errors="replace")
            detail = f"the measuring process answered something that is no reply: {shown!r}"
            raise ProcessDied(self._stage, self._popen.poll(), detail) from error

    def _death(self) -> ProcessDied:
        try:
            code = self._popen.wait(timeout=2)
        except subprocess.TimeoutExpired:
            code = None
        return ProcessDied(self._stage, code, f"the measuring process {how_it_ended(code)}")

    def close(self) -> None:
        """Ask it to end; kill it when it does not within 10 s. Safe to call twice."""
        if self._popen.poll() is None:
            try:
                self._stdin.write(line_of(Close()))
                self._stdin.close()
                self._popen.wait(timeout=_CLOSE_S)
            except (OSError, subprocess.TimeoutExpired):
                pass
        self.kill()

    def kill(self) -> None:
        """End it now and wait until it is gone. Safe to call twice."""
        if self._popen.poll() is None:
            self._popen.kill()
        self._popen.wait()
        self._selector.close()
        for pipe in (self._stdin, self._stdout):
            try:
                pipe.close()
            except OSError:  # the rest of a request it did not live to read
                continue

    def __enter__(self) -> MeasureProcess:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def how_it_ended(returncode: int | None) -> str:
    """A process's end in words: signal by name, with the usual cause of SIGKILL."""
    if returncode is None:
        return "closed its pipe and hangs"
    if returncode >= 0:
        return f"ended with exit code {returncode}; its log says why"
    name = signal.Signals(-returncode).name
    hint = " (often the kernel's out-of-memory killer)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"
