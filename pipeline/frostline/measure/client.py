"""The parent's side of a measuring process: ask it, and give up on it.

Imports neither TensorFlow nor Keras.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from pydantic import ValidationError

from frostline.child import Child
from frostline.errors import FrostlineError
from frostline.measure.messages import REPLIES, Failed, Progress, Reply, Request, line_of


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
    """

    def __init__(self, stage: str, deadline_s: float) -> None:
        super().__init__(f"no answer after {deadline_s:.0f} s, in stage {stage!r}")
        self.stage = stage


class MeasureProcess(Child):
    """One measuring process: one request at a time; imports TensorFlow when the first comes."""

    def __init__(
        self,
        *,
        cores: tuple[int, ...],
        gpu_ids: str,
        log_path: Path,
        module: str = "frostline.measure.process",
    ) -> None:
        """Start it.

        Args:
            cores: CPU cores it may use; also its number of intra-op threads. Empty: those of the
                parent.
            gpu_ids: `CUDA_VISIBLE_DEVICES` for it; "" hides every GPU.
            log_path: file for its output until the first request names another.
            module: the module that it runs; tests pass one with the same protocol.
        """
        threads = len(cores) or len(os.sched_getaffinity(0))
        env = {
            "CUDA_VISIBLE_DEVICES": gpu_ids,
            # NVML's order. CUDA's own puts the fastest GPU first, and 0 would name another card.
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "OMP_NUM_THREADS": str(threads),
            "KERAS_BACKEND": "tensorflow",
            "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "1"),
        }
        super().__init__(module, log=log_path, cores=cores, env=env)

    def request(self, request: Request, *, deadline_s: float) -> Generator[str | None, None, Reply]:
        """Send a request and wait for its answer.

        On any failure, an interruption or the closing of the generator included, the process is
        killed: it may be half way through anything.

        Yields:
            The stages that the process enters; None where 50 ms went by without any.

        Returns:
            Any reply but `Progress`: what the request asks to be answered with, or `Failed`.

        Raises:
            ProcessDied: it ended, closed its pipe, or answered something that is no reply.
            DeadlineExceeded: `deadline_s` seconds went by.
        """
        stage = "start"
        lines = self.ask(line_of(request), deadline_s=deadline_s)
        try:
            while True:
                line = next(lines)
                if line is None:
                    yield None
                    continue
                reply = self._parsed(line, stage)
                if not isinstance(reply, Progress):
                    break
                stage = reply.stage
                yield stage
        except TimeoutError:
            self.kill()
            raise DeadlineExceeded(stage, deadline_s) from None
        except EOFError as end:
            code = self.returncode
            self.kill()
            raise ProcessDied(stage, code, f"the measuring process {end}") from None
        except BaseException:
            self.kill()
            raise
        if isinstance(reply, Failed) and reply.fatal:
            self.kill()
        return reply

    def reply_to(self, request: Request, *, deadline_s: float) -> Reply:
        """The answer to a request, for a caller who only waits for it; see `request`."""
        with closing(self.request(request, deadline_s=deadline_s)) as waiting:
            while True:
                try:
                    next(waiting)
                except StopIteration as end:
                    reply: Reply = end.value
                    return reply

    def _parsed(self, line: bytes, stage: str) -> Reply:
        try:
            return REPLIES.validate_json(line)
        except ValidationError as error:
            shown = line[:200].decode(errors="replace")
            detail = f"the measuring process answered something that is no reply: {shown!r}"
            raise ProcessDied(stage, self.returncode, detail) from error
