"""The measured memory of a trial: the device's own account, else what its profile shows. Pure.

In: the allocator's peak where the device has an account of it, what the model holds, and what its
profiled steps allocated. Out: columns of `trials`.
"""

from __future__ import annotations

from frostline.store.trial_row import HeldColumns, PeakColumns
from frostline.trace.ops import StepAllocation


def peak_columns(
    device_peak: int | None, held: HeldColumns, allocation: StepAllocation | None
) -> PeakColumns:
    """The measured peak, where it comes from, and what the allocator adds to it.

    A CPU has no account of one trial: there the peak is what the model holds and what its steps
    requested, and the profile shows the large tensors alone.
    """
    slack = None if allocation is None else allocation.allocated_bytes - allocation.requested_bytes
    if device_peak is not None:
        return PeakColumns(
            peak_memory_bytes=device_peak,
            peak_memory_source="allocator",
            allocator_slack_bytes=slack,
        )
    weights, slots = held.weights_bytes, held.optimizer_slots_bytes
    if allocation is None or weights is None or slots is None:
        return PeakColumns.nothing()
    return PeakColumns(
        peak_memory_bytes=weights + slots + (held.input_bytes or 0) + allocation.requested_bytes,
        peak_memory_source="profile",
        allocator_slack_bytes=slack,
    )
