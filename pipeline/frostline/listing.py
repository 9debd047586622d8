"""Names for a sentence: the first few of many, and the number of the others. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def listed(names: Sequence[str], most: int = 3, noun: str = "") -> str:
    """`a, b, c and 4 more`, or with a noun `a, b, c and 4 more layers`.

    Args:
        names: in the order to show them.
        most: how many are shown.
        noun: what they are, in the plural; left out where it is empty.
    """
    more = len(names) - most
    ending = f" and {more} more{f' {noun}' if noun else ''}" if more > 0 else ""
    return ", ".join(names[:most]) + ending


def quoted(names: Iterable[str]) -> list[str]:
    """Names as a sentence shows what a user may type."""
    return [f"`{name}`" for name in names]
