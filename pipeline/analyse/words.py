"""Figures in words: times, shares and speedups with the digits that they deserve."""

from __future__ import annotations

from pipeline.store.trial_row import TrialRow

_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_PLACEMENT = {
    "prefix": "as a prefix",
    "suffix": "as a suffix",
    "layer": "as a single layer",
    "random": "scattered at random",
    "norms": "as the normalisation layers",
    "biases": "as the biases",
    "all_but_head": "as all but the head",
}


def duration(ns: float) -> str:
    """A time to three digits: `123 ms`, `4.56 µs`."""
    for size, unit in _UNITS:
        if ns >= 0.9995 * size:  # what rounds to 1000 of a unit is 1 of the next
            return f"{_three_digits(ns / size)} {unit}"
    return "0 ns" if ns == 0 else f"{ns:.2g} ns"


def percent(share: float) -> str:
    """A share: `45%`, `4.5%`, `0.12%`; 100% and 0% only where it is so."""
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
    text = f"{row.speedup:.2f}x"
    if row.speedup_low is not None and row.speedup_high is not None:
        text += f" [{row.speedup_low:.2f}, {row.speedup_high:.2f}]"
    return text


def policy_words(row: TrialRow) -> str:
    """A trial's policy as shown: controls are told apart by their number."""
    return f"control {row.replicate + 1}" if row.is_control else row.policy


def placement(policy: str) -> str:
    """Where a policy freezes, in words: `as a prefix (prefix:8)`."""
    words = _PLACEMENT.get(policy.partition(":")[0])
    return f"{words} ({policy})" if words else f"by {policy}"


def _three_digits(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
