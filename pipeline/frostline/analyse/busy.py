"""What part of a step the device is busy, from a trial's row alone.

In: `TrialRow`. Out: a share of the unprofiled step. Every "busy", "waiting" and "host-bound" that
the program says follows this rule. Pure.
"""

from __future__ import annotations

from frostline.device_id import gpu_count, is_cpu
from frostline.store.trial_row import TrialRow


def busy_fraction(row: TrialRow) -> float | None:
    """Share of a step during which an op runs, 0 to 1, mean over devices; None where not known.

    `busy_ns` / (devices x reference). The reference is the unprofiled step on accelerators:
    profiling slows the host that feeds them, not their kernels. On a CPU it is the profiled step
    (`step_ns` x `profiler_overhead`): ops and step share what else the machine did at that time.

    `busy_ns` is a sum over devices, and the row says over how many: every GPU of `device_id` takes
    part under `mirrored`; only the first of them does under `single`; a CPU is one device, however
    many cores it has. The trace may have other planes, and the row still holds. A replica whose
    plane is empty counts as idle (the trial has a warning about it). A model that spreads its ops
    over several GPUs by itself counts as one device, so that the share is a bound from above.

    Where `busy_ns` was not recorded, the sum of the op times bounds it from above, since ops may
    overlap; so it does where the overhead is not known, since profiling shortens no step. The bound
    is given only below 1, where it says something.
    """
    if not row.step_ns or row.device_id is None:
        return None
    whole_ns: float = row.step_ns
    if is_cpu(row.device_id):
        if row.profiler_overhead is None and row.busy_ns is not None:
            return None
        whole_ns *= row.profiler_overhead or 1.0
    elif row.strategy == "mirrored":
        whole_ns *= gpu_count(row.device_id)
    if row.busy_ns is not None:
        return min(1.0, row.busy_ns / whole_ns)
    passes = row.passes_ns
    bound = sum(passes.values()) / whole_ns if passes else 1.0
    return bound if bound < 1 else None
