"""Searches names for a regular expression, in a process that may use so much time and memory.

Run as a script: standard input has `{"expression", "names"}` as JSON, standard output the positions
of the names in which it is found. It imports nothing but the standard library, and starts in a
moment. Where the limits end it, its exit code says so.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import warnings

CPU_S = 1
"""Processor time: that of this process, whatever else the machine does."""

MEMORY_BYTES = 1 << 30


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    _limit(resource.RLIMIT_CPU, CPU_S)
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    warnings.simplefilter("ignore")
    asked = json.load(sys.stdin)
    found = re.compile(asked["expression"]).search
    json.dump([at for at, name in enumerate(asked["names"]) if found(name)], sys.stdout)
