"""Whether Ray works on this machine, in a process of its own; its last words say what does not.

Run by `frostline.doctor.probes` with `thorough` or `quick`; `thorough` also runs a task.
"""

from __future__ import annotations

import sys

import ray

from frostline.schedule.ray.cluster import start_embedded, stop

_ANSWER_S = 90.0

if __name__ == "__main__":
    if sys.argv[1:] == ["thorough"]:
        start_embedded()
        ray.get(ray.remote(lambda: None).remote(), timeout=_ANSWER_S)
        stop()
    print("true")
