"""What a control says about the noise of a measurement. Pure."""

from __future__ import annotations


def control_noise(speedup: float, low: float | None, high: float | None) -> float:
    """|speedup - 1|, or the half-width of the interval if that is larger.

    A control is a copy of the baseline, so all of its difference is noise.

    Args:
        speedup: of the control.
        low: lower end of its interval; None where it has none.
        high: upper end.
    """
    away = abs(speedup - 1.0)
    return away if low is None or high is None else max(away, (high - low) / 2)
