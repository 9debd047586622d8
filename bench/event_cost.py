"""What the driver pays for a parcel of events: `python bench/event_cost.py`.

Streaming tasks of an embedded Ray that yield parcels with one event each, as fast as they are
taken, through the program's own executor; with few leases, and with many that say nothing besides.
Prints the driver's CPU and wall time per parcel. `docs/scale.md` uses the figures.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), str(HERE.parent)])  # for Ray's workers

import ray  # noqa: E402

from frostline.schedule.events import StageEntered  # noqa: E402
from frostline.schedule.lease_spec import Resources  # noqa: E402
from frostline.schedule.ray.executor import RayExecutor  # noqa: E402

PARCELS = 3000


@ray.remote(num_returns="streaming", num_cpus=1, max_retries=0)  # type: ignore[untyped-decorator]
def talking(count: int) -> Iterator[tuple[StageEntered, ...]]:
    for number in range(count):
        yield (StageEntered(trial_id=f"net-3of24-0123456789-{number}", stage="measure"),)


@ray.remote(num_returns="streaming", num_cpus=100_000, max_retries=0)  # type: ignore[untyped-decorator]
def waiting() -> Iterator[tuple[StageEntered, ...]]:
    yield ()


def main() -> int:
    """Measure and print."""
    with RayExecutor(Resources(gpus=0, cpus=1)) as executor:
        print(f"{executor.slots} slots, Ray in {executor.start_s:.1f} s")
        for silent in (0, 1000):
            others = [waiting.remote() for _ in range(silent)]  # never placed: they only wait
            executor._leases = {talking.remote(PARCELS): 0}
            executor._leases |= {other: number for number, other in enumerate(others, 1)}
            heard = 0
            began, cpu = time.perf_counter(), time.process_time()
            while heard < PARCELS:
                heard += sum(isinstance(event, StageEntered) for _, event in executor.poll(0.2))
            wall_ms = (time.perf_counter() - began) / PARCELS * 1e3
            cpu_ms = (time.process_time() - cpu) / PARCELS * 1e3
            print(
                f"{silent} silent leases: {wall_ms:.2f} ms wall, {cpu_ms:.2f} ms of the driver's "
                "CPU a parcel"
            )
            executor._leases.clear()
            for other in others:
                ray.cancel(other)
    return 0


if __name__ == "__main__":
    sys.exit(main())
