"""The command line: one thin file per command, each calling a function of the library.

`main` returns the exit code: 0 success; 1 something failed (the rows say what), or a gate found a
speedup that got lower; 2 wrong use or a wrong study file; 3 a gate that cannot tell; 130
interrupted (run again to resume). Importing this package imports none of the heavy dependencies, so
that `frostline --help` answers at once.
"""

from __future__ import annotations

from frostline.cli.app import main

__all__ = ["main"]
