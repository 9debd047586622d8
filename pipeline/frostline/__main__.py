"""The command line's first step: `python -m frostline`, and what the command `frostline` calls.

Importing the rest takes a while, and Ctrl-C ends that as quietly as what follows. A traceback of a
defect may quote names from an OUT, so it passes `frostline.visible` as everything shown does.
"""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

INTERRUPTED = 130


def main() -> int:
    """Run the command that the process was started with; the exit code."""
    try:
        from frostline.cli import main as run

        sys.excepthook = _show_defect
        return run()
    except KeyboardInterrupt:
        return INTERRUPTED


def _show_defect(
    kind: type[BaseException], error: BaseException, origin: TracebackType | None
) -> None:
    from frostline.visible import visible

    sys.stderr.write(visible("".join(traceback.format_exception(kind, error, origin))))


if __name__ == "__main__":
    sys.exit(main())
