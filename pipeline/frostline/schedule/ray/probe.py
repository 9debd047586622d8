"""Whether Ray works on this machine, in a process of its own; its last words say what does not.

Run by `frostline.doctor.probes` with `thorough` or `quick`. Both try what a sweep needs before it
starts Ray; `thorough` also starts it and runs a task.
"""

from __future__ import annotations

import sys

import ray

from frostline.errors import FrostlineError
from frostline.schedule.ray.embedded import embedded, ray_place

_ANSWER_S = 90.0

if __name__ == "__main__":
    try:
        if sys.argv[1:] == ["thorough"]:
            with embedded():
                ray.get(ray.remote(lambda: None).remote(), timeout=_ANSWER_S)
        else:
            with ray_place():
                pass
    except FrostlineError as error:
        sys.exit(str(error))
    print("true")
