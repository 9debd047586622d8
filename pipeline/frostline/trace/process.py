"""The process that converts: requests as JSON lines on stdin, one answer per line on stdout.

Started by `frostline.trace.converter`. It must never import TensorFlow.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import TypeAdapter

from frostline.child import connect_to_parent
from frostline.errors import TraceError
from frostline.trace.ops import Trace

TRACES: TypeAdapter[Trace] = TypeAdapter(Trace)


def main() -> None:
    """Serve until stdin closes."""
    answers = connect_to_parent()
    for line in sys.stdin:
        answers.write(_answer(line) + b"\n")


def _answer(line: str) -> bytes:
    from frostline.trace.convert import convert  # heavy: only once there is something to do

    request = json.loads(line)
    try:
        trace = convert(
            Path(request["xplane"]),
            parquet=Path(request["parquet"]),
            require_steps=request["require_steps"],
        )
    except TraceError as error:
        return json.dumps({"error": str(error)}).encode()
    return b'{"trace": ' + TRACES.dump_json(trace) + b"}"


if __name__ == "__main__":
    main()
