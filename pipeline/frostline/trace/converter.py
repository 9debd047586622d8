"""The parent's side of conversion: a process without TensorFlow that turns profiles into traces.

In: paths of profiles. Out: `Trace`. Refuses (`TraceError`) what cannot be converted, with the
reason, and what takes longer than its deadline.

A process of its own, because xprof's export spins for ever in one that imported TensorFlow, and
because nothing but killing ends a native call. It stays alive between conversions, since starting
it costs more than a small trace does, and is started again after it had to be killed.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from frostline.errors import TraceError
from frostline.launch import command
from frostline.trace.ops import Trace
from frostline.trace.process import CORES_VARIABLE, PARENT_VARIABLE

POLL_S = 0.05
DEFAULT_DEADLINE_S = 300.0
_CLOSE_S = 5.0
_LOG_TAIL = 600


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True)
    xplane: Path
    parquet: Path
    hlo_text: Path | None
    require_steps: bool


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)
    trace: Trace | None = None
    error: str | None = None


class TraceConverter:
    """Converts one profile at a time; a context manager that ends the process.

    Args:
        cores: CPU cores the process may use; empty: those of the parent.
        env: variables to set on top of the parent's environment.
        scratch: a folder for temporary files; default: the system's.
    """

    def __init__(
        self,
        *,
        cores: tuple[int, ...] = (),
        env: Mapping[str, str] | None = None,
        scratch: Path | None = None,
    ) -> None:
        self._base = scratch
        self._environment = {
            **os.environ,
            **(env or {}),
            "CUDA_VISIBLE_DEVICES": "",
            CORES_VARIABLE: ",".join(str(core) for core in cores),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    @property
    def pid(self) -> int | None:
        """Process id; None while no process runs."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    def convert(
        self,
        xplane: Path,
        *,
        hlo_text: Path | None = None,
        deadline_s: float = DEFAULT_DEADLINE_S,
        require_steps: bool = True,
    ) -> Trace:
        """Convert a profile.

        Args:
            xplane: the `.xplane.pb`.
            hlo_text: the step's optimised HLO as text, used where the profile carries no program.
            deadline_s: seconds after which the process is killed.
            require_steps: refuse a profile without `train` steps; else it counts as one step.

        Raises:
            TraceError: truncated, foreign, empty, without ops or steps; the deadline passed; the
                process died.
        """
        end = time.monotonic() + deadline_s
        try:
            process, scratch = self._start()
            request = _Request(
                xplane=xplane.absolute(),
                parquet=scratch / "events.parquet",
                hlo_text=hlo_text.absolute() if hlo_text else None,
                require_steps=require_steps,
            )
            line = self._ask(process, request, end)
        except TimeoutError:
            self._kill()
            raise TraceError(
                f"{xplane} was not converted within {deadline_s:g} s; profile fewer steps, or "
                "allow more time"
            ) from None
        except EOFError:
            detail = self._log_tail()
            self._kill()
            raise TraceError(f"the converter died over {xplane}: {detail}") from None
        except BaseException:
            self._kill()  # interrupted half way: its answer must not meet the next request
            raise
        (scratch / "events.parquet").unlink(missing_ok=True)
        try:
            answer = _Answer.model_validate_json(line)
        except ValidationError as error:
            self._kill()
            raise TraceError(f"the converter's answer about {xplane} makes no sense") from error
        if answer.trace is None:
            raise TraceError(answer.error or f"no reason given for {xplane}")
        return answer.trace

    def _start(self) -> tuple[subprocess.Popen[bytes], Path]:
        if self._process is not None and self._process.poll() is not None:
            self._kill()
        if self._process is None or self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="frostline-convert-", dir=self._base)
            with (Path(self._scratch.name) / "log").open("wb") as log:
                self._process = subprocess.Popen(
                    command("frostline.trace.process"),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={**self._environment, PARENT_VARIABLE: str(os.getpid())},
                    bufsize=0,
                )
        return self._process, Path(self._scratch.name)

    @staticmethod
    def _ask(process: subprocess.Popen[bytes], request: _Request, end: float) -> bytes:
        """Send a request and wait in short slices, so that an interruption gets through."""
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise EOFError
        try:
            stdin.write(request.model_dump_json().encode() + b"\n")
        except BrokenPipeError:
            raise EOFError from None
        buffer = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while not buffer.endswith(b"\n"):
                if selector.select(timeout=POLL_S):
                    chunk = os.read(stdout.fileno(), 1 << 20)
                    if not chunk:
                        raise EOFError
                    buffer += chunk
                if time.monotonic() > end:
                    raise TimeoutError
        return bytes(buffer)

    def _log_tail(self) -> str:
        if self._scratch is None:
            return "it left no log"
        log = Path(self._scratch.name) / "log"
        text = log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else ""
        return text[-_LOG_TAIL:] or "it left no log (killed, perhaps for want of memory)"

    def _kill(self) -> None:
        process, self._process = self._process, None
        scratch, self._scratch = self._scratch, None
        if process is not None:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        if scratch is not None:
            scratch.cleanup()

    def close(self) -> None:
        """End the process; killed when it does not end by itself within 5 s. Safe to call twice."""
        process = self._process
        if process is not None and process.stdin is not None and process.poll() is None:
            process.stdin.close()
            try:
                process.wait(timeout=_CLOSE_S)
            except subprocess.TimeoutExpired:
                process.kill()
        self._kill()

    def __enter__(self) -> TraceConverter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def convert_trace(
    path: Path,
    *,
    hlo_text: Path | None = None,
    deadline_s: float = DEFAULT_DEADLINE_S,
    require_steps: bool = True,
) -> Trace:
    """Convert one profile in a process started for it; see `TraceConverter.convert`."""
    with TraceConverter() as converter:
        return converter.convert(
            path, hlo_text=hlo_text, deadline_s=deadline_s, require_steps=require_steps
        )
