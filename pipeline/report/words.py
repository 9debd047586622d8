"""Numbers of a table, the same in the terminal and in the report. Pure; None reads as a dash."""

from __future__ import annotations

from datetime import datetime

from pipeline.analyse.words import percent
from pipeline.store.trial_row import TrialRow

DASH = "–"


def ratio(value: float | None) -> str:
    """A speedup: `1.55x`."""
    return DASH if value is None else f"{value:.2f}x"


def interval(low: float | None, high: float | None) -> str:
    """An interval of ratios: `[1.50, 1.61]`."""
    return DASH if low is None or high is None else f"[{low:.2f}, {high:.2f}]"


def ratio_with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A speedup with its interval: `1.55x [1.50, 1.61]`."""
    return DASH if value is None else f"{ratio(value)} {interval(low, high)}"


def share(fraction: float | None) -> str:
    """A fraction in per cent."""
    return DASH if fraction is None else percent(fraction)


def number(value: int | None) -> str:
    """A whole number."""
    return DASH if value is None else str(value)


def milliseconds(nanoseconds: int | None) -> str:
    """A step time in milliseconds, three digits or more, without the unit."""
    if nanoseconds is None:
        return DASH
    value = nanoseconds / 1e6
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def megabytes(count: int | None) -> str:
    """A size in megabytes (10^6 bytes), without the unit."""
    return DASH if count is None else f"{count / 1e6:.0f}"


def signed(value: float) -> str:
    """A correlation: `+0.73`."""
    return f"{value:+.2f}"


def floor(noise_floor: float | None) -> str:
    """A noise floor: `±3.5%`."""
    return "not known" if noise_floor is None else f"±{percent(noise_floor)}"


def duration(seconds: float) -> str:
    """A duration for people: `4.2 s`, `42 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: float) -> str:
    """A size in bytes for people, in powers of 1000: `1.4 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.1f} {unit}" if count < 10 and unit != "B" else f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def moment(time: datetime) -> str:
    """A point in time in UTC, to the minute."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def failure_words(row: TrialRow) -> str:
    """Why a trial failed, or left no profile: stage, kind and message."""
    stage = f"failed in {row.error_stage}" if row.status == "failed" else "no profile"
    return f"{stage}: {row.error_type or 'error'}: {row.error_message or 'no message'}"
