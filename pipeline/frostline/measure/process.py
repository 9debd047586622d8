"""The measuring process: reads requests from standard input, answers on standard output.

Started by `frostline.measure.client` with its cores, threads and GPUs in the environment. Imports
TensorFlow when the first request comes. What is printed goes to the log of the current request.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from frostline.child import connect_to_parent
from frostline.errors import TrialError
from frostline.measure.messages import (
    OUT_OF_MEMORY,
    REQUESTS,
    Failed,
    InspectModel,
    OpenGroup,
    Progress,
    Reply,
    Request,
    RetraceStep,
    RunAlone,
    RunTrial,
    line_of,
)
from frostline.measure.short_error import plain, short_error

if TYPE_CHECKING:
    from frostline.measure.baseline import WarmBaseline
    from frostline.measure.inspect.files_read import Reads


def main() -> None:
    """Serve requests until the end of input."""
    replies = connect_to_parent()
    with suppress(OSError):  # needs a privilege; the row says what came of it
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    server = _Server(replies)
    for line in sys.stdin.buffer:
        server.serve(REQUESTS.validate_json(line))
    # Skips the interpreter's teardown: TensorFlow's takes seconds, and everything is saved.
    sys.stderr.flush()
    os._exit(0)


class _Server:
    def __init__(self, replies: BinaryIO) -> None:
        self._replies = replies
        self._group: WarmBaseline | None = None
        self._stage = "start"
        self._import_s: float | None = None
        self._reads: Reads | None = None

    def serve(self, request: Request) -> None:
        """Answer one request; nothing that it raises ends the process."""
        self._log_to(Path(request.log_path))
        try:
            reply = self._answer(request)
        except TrialError as error:
            reply = Failed(stage=error.stage, kind=error.kind, message=plain(str(error)))
        except Exception as error:  # noqa: BLE001 - foreign code of any kind runs in here
            traceback.print_exc()
            # The state after an error of TensorFlow or the user's code is unknown, so the next
            # trial gets a new process.
            kind, message = _said_of(error, request)
            reply = Failed(stage=self._stage, kind=kind, message=message, fatal=True)
        self._say(reply)

    def _answer(self, request: Request) -> Reply:
        self._enter("import")
        started = time.perf_counter()
        if isinstance(request, InspectModel) and self._reads is None:
            from frostline.measure.inspect.files_read import Reads  # watches from now on

            self._reads = Reads()
        from frostline.measure.alone import run_alone
        from frostline.measure.baseline import WarmBaseline
        from frostline.measure.device import configure_threads
        from frostline.measure.inspect.answer import inspect_request
        from frostline.measure.retrace import retrace

        if self._import_s is None:
            configure_threads()
            self._import_s = time.perf_counter() - started
        if isinstance(request, InspectModel):
            return inspect_request(request, self._enter, self._reads)
        if isinstance(request, RetraceStep):
            return retrace(request, self._enter)
        if isinstance(request, RunAlone):
            return run_alone(request, self._enter)
        if isinstance(request, OpenGroup):
            if self._group is not None:
                self._group.close()
            self._group = WarmBaseline(request, self._enter)
            return self._group.ready(import_s=self._import_s)
        if self._group is None:
            raise TrialError("build", "NoBaseline", "a trial was asked for before its baseline")
        return self._group.run(request.trial, Path(request.scratch))

    def _enter(self, stage: str) -> None:
        self._stage = stage
        self._say(Progress(stage=stage))

    def _say(self, reply: Reply) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._replies.write(line_of(reply))

    def _log_to(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)


def _said_of(error: Exception, request: Request) -> tuple[str, str]:
    """The kind of a foreign error, and its message."""
    if "tensorflow" in sys.modules:  # else it is what cannot be imported
        from frostline.measure.out_of_memory import is_out_of_memory, out_of_memory_words

        if is_out_of_memory(error):
            if isinstance(request, RunTrial):
                return OUT_OF_MEMORY, out_of_memory_words(error, request.trial.setting, trial=True)
            return OUT_OF_MEMORY, out_of_memory_words(error, request.setting)
    return type(error).__name__, short_error(error)


if __name__ == "__main__":
    main()
