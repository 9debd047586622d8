"""The consoles: results go to standard output, progress and errors to standard error.

So `frostline sweep ... > result.txt` writes only the result and still shows the progress.
"""

from __future__ import annotations

from rich.console import Console
from rich.text import Text


def out() -> Console:
    """Standard output as it is now (tests and notebooks replace it)."""
    return Console(highlight=False)


def err() -> Console:
    """Standard error as it is now."""
    return Console(stderr=True, highlight=False)


def complain(message: str) -> None:
    """Print an error: what is wrong, where, and what to do about it."""
    err().print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)
