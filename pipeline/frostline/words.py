"""Figures in words, the same in the terminal, in the report and in sentences. Pure.

Times, shares and speedups are rounded to the digits that matter. None is shown as a dash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby

from frostline.store.trial_row import TrialRow
from frostline.trial import AXES, Setting

DASH = "–"
_IN_FIGURE = 120

_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_PLACEMENT = {
    "prefix": "as a prefix",
    "suffix": "as a suffix",
    "layer": "as a single layer",
    "random": "scattered at random",
    "norms": "as the normalisation layers",
    "biases": "as the biases",
    "all_but_head": "as all but the head",
    "anchors:pass_through": "as all but the layers at the input",
}


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


def layer_number(index: int) -> int:
    """The number of a layer as people read it and as policies count, from 1; `index` is from 0."""
    return index + 1


def layer_place(index: int | None) -> str:
    """The number of a layer in a table, from 1; a dash where it is not known."""
    return DASH if index is None else str(layer_number(index))


def number_ranges(numbers: Iterable[int], most: int | None = None) -> str:
    """Numbers in words: `1-8`, `1, 3-5`; with `most` only so many ranges, and how many more."""
    found = _runs(numbers)
    shown = [str(low) if low == high else f"{low}-{high}" for low, high in found[:most]]
    left = sum(high - low + 1 for low, high in found[len(shown) :])
    return ", ".join(shown) + (f" and {left} more" if left else "")


def range_count(numbers: Iterable[int]) -> int:
    """How many ranges some numbers make."""
    return len(_runs(numbers))


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of each run of numbers without a gap."""
    grouped = groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0])
    return [(run[0][1], run[-1][1]) for run in (list(group) for _, group in grouped)]


def milliseconds(nanoseconds: float | None) -> str:
    """A step time in milliseconds, three digits or more, without the unit."""
    if nanoseconds is None:
        return DASH
    return _three_digits(nanoseconds / 1e6)


def rate(per_second: float) -> str:
    """A number of things per second: `25,685`, `4.56`."""
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.3g}"


def megabytes(count: int | None) -> str:
    """A size in megabytes (10^6 bytes), without the unit."""
    return DASH if count is None else f"{count / 1e6:.0f}"


def signed(value: float) -> str:
    """A correlation: `+0.73`."""
    return f"{value:+.2f}"


def floor(noise_floor: float | None) -> str:
    """A noise floor: `±3.5%`."""
    return "not known" if noise_floor is None else f"±{percent(noise_floor)}"


def duration_s(seconds: float) -> str:
    """A duration for people: `4.2 s`, `42 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def span(low: str, high: str) -> str:
    """`low to high`; one of them where they read alike."""
    return low if low == high else f"{low} to {high}"


def size(count: float) -> str:
    """A size in bytes for people, in powers of 1000: `1.4 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.1f} {unit}" if count < 10 and unit != "B" else f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def signed_size(count: int) -> str:
    """A size for people that may be negative."""
    return size(count) if count >= 0 else f"-{size(-count)}"


def counted(count: int, noun: str) -> str:
    """How many of a thing: `1 layer`, `2 layers`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def axis_words(axis: str) -> str:
    """An axis of the training setting: `batch size`; the others by their keys in a study."""
    return "batch size" if axis == "batch_size" else axis


def axis_value(setting: Setting, axis: str) -> str:
    """The value of an axis: `16`, `adam`; the compiled model's own where a study gives none."""
    value = getattr(setting, axis)
    return f"the model's own {axis_words(axis)}" if value is None else str(value)


def axes_apart(a: Setting, b: Setting) -> Iterator[tuple[str, str, str]]:
    """Each axis in which two settings differ, and its value in both, in words."""
    for axis in AXES:
        if getattr(a, axis) != getattr(b, axis):
            yield axis_words(axis), axis_value(a, axis), axis_value(b, axis)


def or_not_known(value: object) -> str:
    """A value as text; `not known` for None."""
    return "not known" if value is None else str(value)


def rounded_ms(ns: int, digits: int, *, signed: bool = False) -> str:
    """Nanoseconds as milliseconds with that many decimals; signed: with a plus where it is more."""
    value = round(ns / 1e6, digits) or 0.0  # no minus before a zero
    return f"{value:{'+' if signed and value else ''}.{digits}f}"


def moment(time: datetime) -> str:
    """A point in time in UTC, to the minute."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def failure_words(row: TrialRow) -> str:
    """Why a trial failed, or left no profile: stage, kind and message."""
    stage = f"failed in {row.error_stage}" if row.status == "failed" else "no profile"
    return f"{stage}: {row.error_type or 'error'}: {row.error_message or 'no message'}"


def duration_ns(ns: float) -> str:
    """A time to three digits: `123 ms`, `4.56 µs`."""
    for size, unit in _UNITS:
        if ns >= 0.9995 * size:  # what rounds to 1000 of a unit is 1 of the next
            return f"{_three_digits(ns / size)} {unit}"
    return "0 ns" if ns == 0 else f"{ns:.2g} ns"


def signed_ns(ns: int) -> str:
    """A change in time: `+123 ms`, `-4.56 µs`."""
    sign = "-" if ns < 0 else "+" if ns else ""
    return sign + duration_ns(abs(ns))


def percent(share: float) -> str:
    """A share: `45%`, `4.5%`, `0.12%`; `100%` and `0%` only for exactly 1 and 0."""
    value = 100 * share
    if value == 0:
        return "0%"
    if value < 1:
        return f"{value:.2g}%"
    for digits in (0 if value >= 10 else 1, 1, 2):
        text = f"{value:.{digits}f}"
        if share == 1 or float(text) != 100:
            return f"{text}%"
    return "99.99%"


def speedup(row: TrialRow) -> str:
    """A trial's speedup with its interval: `1.90x [1.80, 2.00]`."""
    if row.speedup is None:
        return "not measured"
    if row.speedup_low is None or row.speedup_high is None:
        return ratio(row.speedup)
    return ratio_with_interval(row.speedup, row.speedup_low, row.speedup_high)


def policy_words(row: TrialRow) -> str:
    """A trial's policy as shown: controls are told apart by number, variants by their name."""
    if row.is_control:
        return f"control {row.replicate + 1}"
    return row.policy if row.variant is None else f"{row.variant}: {row.policy}"


def in_figure(name: str) -> str:
    """A name as a figure shows it: a policy may list a thousand layers."""
    return name if len(name) <= _IN_FIGURE else f"{name[:_IN_FIGURE]}…"


def placement(policy: str) -> str:
    """Where a policy freezes, in words: `as a prefix (prefix:8)`."""
    words = _PLACEMENT.get(policy) or _PLACEMENT.get(policy.partition(":")[0])
    return f"{words} ({policy})" if words else f"by {policy}"


def _three_digits(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
