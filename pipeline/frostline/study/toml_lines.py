"""Line numbers of the keys of a TOML text, which the standard parser does not give.

In: the text. Out: the line of a key, or of a value under it. Reads headers and `key = value` lines
only; a value inside an inline table or a list has its key's line. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Key = tuple[str | int, ...]
"""Names of tables and keys, and positions in lists, down to a value."""

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*[A-Za-z0-9_-]+)*)\s*=""")
_LONG_STRINGS = ('"""', "'''")


def key_lines(text: str) -> dict[Key, int]:
    """Return the line, from 1, of every header and key; entries of `[[model]]` count from 0."""
    lines: dict[Key, int] = {}
    counts: dict[Key, int] = {}
    table: Key = ()
    closing: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if closing is not None:
            closing = None if closing in line else closing
            continue
        if header := _HEADER.match(line):
            table = _table(_parts(header[2]), header[1] == "[[", counts)
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            path = table
            for part in _parts(key[1]):
                path = (*path, part)
                lines.setdefault(path, number)
            value = line[key.end() :]
            closing = next((mark for mark in _LONG_STRINGS if value.count(mark) == 1), None)
    return lines


def line_of(path: Sequence[str | int], given: object, text: str) -> int | None:
    """Return the line of a mistake, or None where it cannot be found.

    Args:
        path: keys and list positions down to the value.
        given: the value; a string inside a list that spans lines is looked for from the key on.
        text: the file's text.
    """
    known = key_lines(text)
    for length in range(len(path), 0, -1):
        line = known.get(tuple(path[:length]))
        if line is None:
            continue
        if isinstance(given, str) and length < len(path):
            return _line_of_value(given, line, known, text) or line
        return line
    return None


def _line_of_value(value: str, start: int, known: dict[Key, int], text: str) -> int | None:
    end = min((line for line in known.values() if line > start), default=None)
    for number, line in enumerate(text.splitlines()[start - 1 : end and end - 1], start=start):
        if f'"{value}"' in line or f"'{value}'" in line:
            return number
    return None


def _parts(dotted: str) -> list[str]:
    return [part.strip().strip("\"'") for part in dotted.split(".")]


def _table(parts: list[str], repeated: bool, counts: dict[Key, int]) -> Key:
    path: Key = ()
    for part in parts[:-1]:
        path = (*path, part)
        if path in counts:
            path = (*path, counts[path])
    path = (*path, parts[-1])
    if repeated:
        counts[path] = counts.get(path, -1) + 1
        path = (*path, counts[path])
    return path
