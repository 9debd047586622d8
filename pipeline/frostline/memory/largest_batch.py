"""How many examples a batch may have within a device's memory.

In: a configuration's predicted peak at one batch size, or at several of which each was measured.
Out: examples. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from frostline.memory.peak_prediction import PeakPrediction


def largest_batch(peaks: Mapping[int, PeakPrediction], limit_bytes: int) -> int:
    """Examples that a step may have within a number of bytes; 0 where not even one fits.

    A peak is a part that stays and a part in proportion to the batch. From two batch sizes both are
    known, from more the outermost two are taken. From one, weights and slots stay and all else
    grows, which is more than it does: gradients of weights do not. So that answer errs on the safe
    side.

    Args:
        peaks: of one configuration by batch size; at least one.
        limit_bytes: of device memory, without what the allocator adds.
    """
    fixed, of_one = _line(peaks)
    if of_one <= 0:
        return max(peaks)
    return max(0, int((limit_bytes - fixed) / of_one))


def peak_bytes_at(peaks: Mapping[int, PeakPrediction], examples: int) -> int:
    """The peak at another batch size, by the same rule as `largest_batch`; bytes."""
    fixed, of_one = _line(peaks)
    return round(fixed + of_one * examples)


def _line(peaks: Mapping[int, PeakPrediction]) -> tuple[float, float]:
    """What stays, and what one example takes; bytes."""
    low, high = min(peaks), max(peaks)
    of_one = (peaks[high].total - peaks[low].total) / (high - low) if high > low else 0.0
    fixed = peaks[low].total - of_one * low
    if of_one <= 0:
        fixed = peaks[high].weights + peaks[high].optimizer_slots
        of_one = (peaks[high].total - fixed) / high
    return fixed, of_one
