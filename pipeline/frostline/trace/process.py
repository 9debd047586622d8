"""The process that converts: requests as JSON lines on stdin, one answer a line on stdout.

Started by `frostline.trace.converter`. It must never import TensorFlow, and it ends with its
parent.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

from pydantic import TypeAdapter

from frostline.errors import TraceError
from frostline.trace.ops import Trace

PARENT_VARIABLE = "FROSTLINE_CONVERTER_PARENT"
CORES_VARIABLE = "FROSTLINE_CONVERTER_CORES"
TRACES: TypeAdapter[Trace] = TypeAdapter(Trace)

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel for SIGKILL when the parent ends; leave at once if it already has."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.environ.get(PARENT_VARIABLE, str(os.getppid())) != str(os.getppid()):
        raise SystemExit(0)


def main() -> None:
    """Serve until stdin closes."""
    die_with_parent()
    cores = os.environ.get(CORES_VARIABLE, "")
    if cores and sys.platform == "linux":
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries print; answers stay clean
    for line in sys.stdin:
        answers.write(_answer(line) + b"\n")


def _answer(line: str) -> bytes:
    from frostline.trace.convert import convert  # heavy: only once there is something to do

    request = json.loads(line)
    try:
        trace = convert(
            Path(request["xplane"]),
            parquet=Path(request["parquet"]),
            hlo_text=Path(request["hlo_text"]) if request["hlo_text"] else None,
            require_steps=request["require_steps"],
        )
    except TraceError as error:
        return json.dumps({"error": str(error)}).encode()
    return b'{"trace": ' + TRACES.dump_json(trace) + b"}"


if __name__ == "__main__":
    main()
