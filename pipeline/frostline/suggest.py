"""Finds the valid name that a mistyped one was probably meant to be.

In: what was given and the names that are valid there. Out: words for an error message. Pure.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from frostline.listing import listed, quoted

_SHOWN = 12
_LONGEST = 300  # nobody mistypes a longer name, and to compare it takes long


def nearest(given: str, valid: Iterable[str]) -> str | None:
    """Return the valid name closest to `given`, or None where none resembles it.

    Case and the choice between `-` and `_` are ignored. Where no whole name resembles `given`, a
    name of which it is a part is taken (`block1/conv1` for `conv1`).
    """
    if len(given) > _LONGEST:
        return None
    by_key: dict[str, list[str]] = {}
    for name in valid:
        by_key.setdefault(_key(name), []).append(name)
    close = _close(given, list(by_key))
    if close is not None:
        return _close(given, by_key[close], cutoff=0.0) or by_key[close][0]
    tails = {key.rsplit("/", 1)[-1]: names[0] for key, names in by_key.items() if "/" in key}
    close = _close(given, list(tails))
    if close is not None:
        return tails[close]
    inside = [names[0] for key, names in by_key.items() if len(given) > 2 and _key(given) in key]
    return min(inside, key=len) if inside else None


def advice(given: str, valid: Iterable[str]) -> str:
    """Return a sentence that names the nearest valid name, or lists the valid ones.

    Args:
        given: what was asked for.
        valid: the names that would have been right; listed in the given order, a dozen at most.
    """
    names = list(valid)
    close = nearest(given, names)
    if close is not None:
        return f"Did you mean `{close}`?"
    if not names:
        return "There is no valid name here."
    return f"Valid: {listed(quoted(names), _SHOWN)}."


def _close(given: str, names: list[str], cutoff: float = 0.6) -> str | None:
    close = difflib.get_close_matches(given, names, n=3, cutoff=cutoff)
    close = close or difflib.get_close_matches(_key(given), names, n=3, cutoff=cutoff)
    # Two letters swapped (`adma`) is the commonest slip, and difflib rates it like a longer word.
    swapped = [name for name in close if sorted(name) == sorted(_key(given))]
    return next(iter(swapped + close), None)


def _key(name: str) -> str:
    return name.lower().replace("-", "_")
