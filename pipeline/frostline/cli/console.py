"""The consoles: results go to standard output, progress and errors to standard error.

So `frostline sweep ... > result.txt` writes only the result and still shows the progress. On these
consoles text is text: no markup, no emoji codes, and what would act on the terminal is shown as an
escape (`frostline.visible`), whoever prints it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.protocol import rich_cast
from rich.segment import Segment
from rich.status import Status
from rich.text import Text

from frostline.visible import UNSEEN, visible, visible_json

_PIPE_WIDTH = 100_000
"""Columns of what is no terminal: nothing is wrapped there, unless COLUMNS says how wide it is."""
_quiet = False


def be_quiet(quiet: bool = True) -> None:
    """Print results and errors alone from now on: no progress, no notes."""
    global _quiet
    _quiet = quiet


class PlainConsole(Console):
    """A console on which foreign text neither acts nor means anything but itself."""

    def __init__(self, **options: Any) -> None:
        """Take the options of Rich's console."""
        super().__init__(**{"highlight": False, **options}, markup=False, emoji=False)
        if not self.is_terminal and "COLUMNS" not in os.environ and "width" not in options:
            self._width = _PIPE_WIDTH

    def render_str(self, text: str, *, style: str | Any = "", **options: Any) -> Text:
        """Text from a string: markup in it is none."""
        plain = {"emoji": False, "markup": False}
        return super().render_str(visible(text), style=style, **{**options, **plain})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Everything that is printed comes by here, cells of tables included."""
        found = rich_cast(renderable)
        if isinstance(found, Padding) and self._width == _PIPE_WIDTH:
            found.expand = False  # it would fill the line with blanks
        return super().render(_shown(found) if isinstance(found, Text) else found, options)

    def status(self, status: RenderableType, **options: Any) -> Status:
        """A line with a spinner while something takes its time."""
        return super().status(Text(status) if isinstance(status, str) else status, **options)


def out() -> Console:
    """Standard output as it is now (tests and notebooks replace it)."""
    return PlainConsole()


def err() -> Console:
    """Standard error as it is now, for progress and notes."""
    return PlainConsole(stderr=True, quiet=_quiet)


def note(text: str) -> None:
    """Print to standard error what the user should know and that is no error."""
    err().print(Text.assemble(("note: ", "yellow"), text), soft_wrap=True)


def complain(message: str) -> None:
    """Print an error: what is wrong, where, and what to do about it."""
    said = Text.assemble(("error: ", "bold red"), message)
    PlainConsole(stderr=True).print(said, soft_wrap=True)


def print_json(text: str) -> None:
    """Print JSON to standard output, unwrapped, so that a program reads what was meant."""
    typer.echo(visible_json(text))


def _shown(text: Text) -> Text:
    """The same text in the same styles, with escapes where it needs them."""
    places = [found.start() for found in UNSEEN.finditer(text.plain)]
    if not places:
        return text
    pieces = text.divide(sorted({edge for place in places for edge in (place, place + 1)}))
    shown = text.blank_copy()
    for piece in pieces:
        plain = visible(piece.plain)
        if plain != piece.plain:
            piece = Text(plain, style=piece.spans[0].style if piece.spans else "")
        shown.append_text(piece)
    return shown
