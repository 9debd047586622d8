"""Whether Ray works on this machine, in a process of its own; its last words say what does not.

Run by `frostline.doctor.probes` with `thorough` or `quick`; `thorough` also runs a task.
"""

from __future__ import annotations

import sys

import ray

from frostline.schedule.ray.embedded import embedded

_ANSWER_S = 90.0

if __name__ == "__main__":
    if sys.argv[1:] == ["thorough"]:
        with embedded():
            ray.get(ray.remote(lambda: None).remote(), timeout=_ANSWER_S)
    print("true")
