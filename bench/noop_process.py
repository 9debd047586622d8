"""A measuring process that answers at once; it speaks the real protocol and imports no TensorFlow.

Started by the program in place of `frostline.measure.process`. It reports the stages that the real
one does, so that as many events go through the lease and the driver.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from noop import measured, ready

from frostline.measure.messages import REQUESTS, OpenGroup, Progress, Reply, RunTrial, line_of
from frostline.measure.process import _tie_to_parent

STAGES = ("build", "trace", "check", "measure")


def main() -> None:
    _tie_to_parent()
    os.sched_setaffinity(0, {int(core) for core in os.environ["FROSTLINE_CORES"].split(",")})
    for line in sys.stdin.buffer:
        match REQUESTS.validate_json(line):
            case OpenGroup():
                say(ready())
            case RunTrial(log_path=log):
                Path(log).touch()
                for stage in STAGES:
                    say(Progress(stage=stage))
                say(measured())
            case _:
                os._exit(0)  # as the real one


def say(reply: Reply) -> None:
    sys.stdout.buffer.write(line_of(reply))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
