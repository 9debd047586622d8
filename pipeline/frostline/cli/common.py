"""What every command takes without naming it: `--quiet`.

In: the function of a command. Out: the same function with the common options, for Typer to read.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from frostline.cli.console import be_quiet

_Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print the result alone: no progress, no notes.")
]


def with_common_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command that also takes `--quiet`."""

    @wraps(command)
    def run(*args: Any, quiet: bool = False, **kwargs: Any) -> None:
        be_quiet(quiet)
        command(*args, **kwargs)

    signature = inspect.signature(command)
    hints = get_type_hints(command, include_extras=True)
    own = [
        each.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, each in signature.parameters.items()
    ]
    also = inspect.Parameter(
        "quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_Quiet
    )
    run.__signature__ = signature.replace(parameters=[*own, also])  # type: ignore[attr-defined]
    run.__annotations__ = {**hints, "quiet": _Quiet}
    return run
