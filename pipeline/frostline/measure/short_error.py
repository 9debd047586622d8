"""Errors of TensorFlow and Keras in a line or two: what went wrong and where.

In: an exception, or the text of one. Out: its message without the colours of terminals, the stack
of the graph's definition, the names of generated functions and the values of arguments, which fill
a page. Pure; the log has the whole.
"""

from __future__ import annotations

import re

MOST = 600
"""Characters; more is cut."""

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_DETECTED = re.compile(
    r"(?:Graph execution error:\s*)?Detected at node (?P<node>\S+) defined at "
    r"\(most recent call last\):\n(?:<stack traces unavailable>\n|\s*File .*\n|\s*\n)*"
)
_NODE_BRACKETS = re.compile(
    r"\s*\[\[\{\{node [^}]*\}\}\]\]|\s*\[Op:\S+\]|\{\{function_node [^}]*\}\}\s*"
)
_NODE_DEFINITION = re.compile(r"'\{\{node (?P<node>[^}]*)\}\} = (?P<type>\w+)\[.*?\]\(.*?\)'")
_ARGUMENTS = re.compile(r"\s*Arguments received by .*", re.DOTALL)
_CALLING = re.compile(r"Exception encountered when calling (?P<where>[^\n]+?)\.?\n\n")
_USER_CODE = re.compile(r"\s*in user code:\n(?:\s*\n|\s+File .*\n(?:\s+(?!\w+Error: ).*\n)?)+\s*")


def plain(text: str) -> str:
    """The text without control sequences for the colours of terminals."""
    return _COLOURS.sub("", text)


def short_error(error: BaseException) -> str:
    """The message of an exception, its class where it has none."""
    return short_text(str(error)) or type(error).__name__


def short_text(text: str) -> str:
    """What an error says, in a line or two."""
    text = _ARGUMENTS.sub("", plain(text))
    where = ""
    if detected := _DETECTED.search(text):
        where = f" (at node {detected['node']})"
        text = text[: detected.start()] + text[detected.end() :]
    if calling := _CALLING.search(text):
        where = f" (in {calling['where']})"
        text = text[: calling.start()] + text[calling.end() :]
    text = _NODE_BRACKETS.sub("", _USER_CODE.sub("", text))
    text = _NODE_DEFINITION.sub(r"\g<type> at \g<node>", text)
    said = " ".join(text.split()).rstrip(".")
    if len(said) > MOST:
        said = f"{said[:MOST]} ... (the log has the rest)"
    return f"{said}{where}" if said else ""
