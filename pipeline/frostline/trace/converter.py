"""The parent's side of conversion: a process without TensorFlow that turns profiles into traces.

In: paths of profiles. Out: `Trace`. Refuses (`TraceError`) what cannot be converted, with the
reason, and what takes longer than its deadline.

A process of its own, because xprof's export spins for ever in one that imported TensorFlow. It
stays alive between conversions, since starting it costs more than a small trace does, and is
started again after it had to be killed.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from frostline.child import Child
from frostline.errors import TraceError
from frostline.scratch import scratch_folder
from frostline.trace.ops import Trace

DEFAULT_DEADLINE_S = 300.0
_LOG_TAIL = 600


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True)
    xplane: Path
    parquet: Path
    require_steps: bool


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)
    trace: Trace | None = None
    error: str | None = None


class TraceConverter:
    """Converts one profile at a time; a context manager that ends the process.

    Args:
        scratch: a folder for temporary files; default: the system's.
    """

    def __init__(self, *, scratch: Path | None = None) -> None:
        self._base = scratch
        self._child: Child | None = None
        self._scratch: Path | None = None
        self._held = ExitStack()

    @property
    def pid(self) -> int | None:
        """Process id; None while no process runs."""
        child = self._child
        return child.pid if child is not None and child.returncode is None else None

    def convert(
        self, xplane: Path, *, deadline_s: float = DEFAULT_DEADLINE_S, require_steps: bool = True
    ) -> Trace:
        """Convert a profile.

        Args:
            xplane: the `.xplane.pb`.
            deadline_s: seconds after which the process is killed.
            require_steps: refuse a profile without `train` steps; else it counts as one step.

        Raises:
            TraceError: truncated, foreign, empty, without ops or steps; the deadline passed; the
                process died.
        """
        try:
            child, scratch = self._running()
            request = _Request(
                xplane=xplane.absolute(),
                parquet=scratch / "events.parquet",
                require_steps=require_steps,
            )
            line = request.model_dump_json().encode() + b"\n"
            answer = next(filter(None, child.ask(line, deadline_s=deadline_s)))
            request.parquet.unlink(missing_ok=True)
            found = _Answer.model_validate_json(answer)
        except TimeoutError:
            self._kill()
            raise TraceError(
                f"{xplane} was not converted within {deadline_s:g} s; profile fewer steps, or "
                "allow more time"
            ) from None
        except EOFError as end:
            detail = ": ".join(filter(None, (str(end), self._log_tail())))
            self._kill()
            raise TraceError(f"the converter died over {xplane}: it {detail}") from None
        except ValidationError as error:
            self._kill()
            raise TraceError(f"the converter's answer about {xplane} makes no sense") from error
        except BaseException:
            self._kill()  # interrupted half way: its answer must not meet the next request
            raise
        if found.trace is None:
            raise TraceError(found.error or f"no reason given for {xplane}")
        return found.trace

    def _running(self) -> tuple[Child, Path]:
        """The process and its folder; started where there is none that lives."""
        if self.pid is None:
            self._kill()
        if self._child is None or self._scratch is None:
            folder = scratch_folder(self._base, prefix="frostline-convert-")
            self._scratch = self._held.enter_context(folder)
            self._child = Child(
                "frostline.trace.process",
                log=self._scratch / "log",
                env={"CUDA_VISIBLE_DEVICES": ""},
            )
        return self._child, self._scratch

    def _log_tail(self) -> str:
        if self._scratch is None:
            return ""
        log = self._scratch / "log"
        return log.read_text(encoding="utf-8", errors="replace").strip()[-_LOG_TAIL:]

    def _kill(self) -> None:
        child, self._child = self._child, None
        self._scratch = None
        if child is not None:
            child.kill()
        self._held.close()

    def close(self) -> None:
        """End the process. Safe to call twice."""
        if self._child is not None:
            self._child.close()
        self._kill()

    def __enter__(self) -> TraceConverter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
