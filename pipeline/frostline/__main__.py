"""The command line's first step: `python -m frostline`, and what the command `frostline` calls.

Importing the rest takes a while, and Ctrl-C ends that as quietly as what follows. A traceback of a
defect may quote names from an OUT, so it passes `frostline.visible` as everything shown does.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from contextlib import suppress
from types import TracebackType

from frostline.errors import INTERRUPTED


def main() -> int:
    """Run the command that the process was started with; the exit code."""
    try:
        from frostline.cli import main as run

        sys.excepthook = _show_defect
        code = run()
    except KeyboardInterrupt:
        code = INTERRUPTED
    return leave(code)


def leave(code: int) -> int:
    """The exit code; or end here, where a thread of ours hangs in foreign code.

    Such a thread would hang or crash the interpreter's end.
    """
    if any(thread.name.startswith("frostline-") for thread in threading.enumerate()):
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    return code


def _show_defect(
    kind: type[BaseException], error: BaseException, origin: TracebackType | None
) -> None:
    from frostline.visible import visible

    sys.stderr.write(visible("".join(traceback.format_exception(kind, error, origin))))


if __name__ == "__main__":
    sys.exit(main())
