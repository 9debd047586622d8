r"""Foreign text as it may be shown: what would leave no mark, or act, becomes a visible escape.

In: names, messages and paths that came from an OUT, a study file or the command line. Out: the same
text with `\x1b` in place of an escape character and `\u202e` in place of an override of the writing
direction. Control characters move a terminal's cursor, change its title or fill its clipboard;
bidirectional ones and those without width make one name look like another. Pure.

Everything that is shown passes one of four places that use this: the consoles of the command line,
the content of the report, JSON, and what objects show of themselves (`frostline.notebook`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

_UNSEEN = (
    "\x00-\x09\x0b-\x1f\x7f-\x9f"  # control characters, but for the end of a line
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\uffa0"  # without width
    "\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"  # direction, joiners
    "\u2028\u2029\ufe00-\ufe0f\ufeff\ufff0-\ufffb"  # separators, variation selectors, annotations
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"  # marks of other scripts
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ud800-\udfff"  # halves of a character: bytes of a file name that are no UTF-8
)
UNSEEN = re.compile(f"[{_UNSEEN}]")
"""One character that is not shown as it is."""


def visible(text: str) -> str:
    """The text with an escape in place of each character that would leave no mark, or act.

    Ends of lines stay.
    """
    return UNSEEN.sub(_escape, text)


def visible_in(value: T) -> T:
    """A tree of values with all its text made visible, keys included.

    Args:
        value: text, or dataclasses, mappings, lists and tuples of it; other values stay.
    """
    return _visible_in(value)  # type: ignore[return-value]


def visible_json(text: str) -> str:
    r"""JSON that means the same, with such characters as escapes of JSON (`\u202e`)."""
    return UNSEEN.sub(_json_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _visible_in(value: object) -> object:
    match value:
        case str():
            return visible(value)
        case Mapping():
            return {_visible_in(key): _visible_in(each) for key, each in value.items()}
        case list():
            return [_visible_in(each) for each in value]
        case tuple():
            return tuple(_visible_in(each) for each in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (field.name for field in dataclasses.fields(value) if field.init)
        return dataclasses.replace(
            value, **{name: _visible_in(getattr(value, name)) for name in fields}
        )
    return value
