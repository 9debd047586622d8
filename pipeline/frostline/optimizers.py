"""An optimizer with its arguments as one piece of text: `adamw(weight_decay=0.01)`.

In: a Keras identifier and arguments as TOML has them, or the text. Out: the text, the same for the
same arguments in whatever order; or identifier and arguments again. The text goes through tables,
digests and command lines as the plain identifier does. Refuses (ValueError) what is no such text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

_SPELLED = re.compile(r"\s*(?P<name>[^()\s][^()]*?)\s*(?:\((?P<arguments>.*)\)\s*)?", re.DOTALL)

Argument = bool | int | float | str | None


def spelled(name: str, arguments: Mapping[str, Argument]) -> str:
    """The text; of an optimizer without arguments its identifier."""
    if not arguments:
        return name
    said = ", ".join(f"{key}={value!r}" for key, value in sorted(arguments.items()))
    return f"{name}({said})"


def taken_apart(text: str) -> tuple[str, dict[str, Argument]]:
    """Identifier and arguments.

    Raises:
        ValueError: it is not `name` or `name(argument=value, ...)` with plain values.
    """
    match = _SPELLED.fullmatch(text)
    if match is None:
        raise ValueError(_advice(text))
    if match["arguments"] is None:
        return match["name"], {}
    try:
        call = ast.parse(f"f({match['arguments']})", mode="eval").body
        keywords = call.keywords if isinstance(call, ast.Call) and not call.args else None
        found = {each.arg: ast.literal_eval(each.value) for each in keywords or ()}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(_advice(text)) from None
    if keywords is None:
        raise ValueError(_advice(text))
    arguments: dict[str, Argument] = {}
    for key, value in found.items():
        if key is None or not isinstance(value, bool | int | float | str | None):
            raise ValueError(_advice(text))
        arguments[key] = value
    return match["name"], arguments


def _advice(text: str) -> str:
    return (
        f"`{text[:80]}` is no optimizer; write its name, or a table with its arguments: "
        '{ name = "adamw", weight_decay = 0.01 }'
    )
