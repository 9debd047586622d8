"""What commands have in common: `--quiet`, and options that need another one.

In: the function of a command. Out: the same function with the common options, for Typer to read.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from frostline.cli.console import be_quiet
from frostline.errors import UsageError

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


def refuse_given(options: Mapping[str, object], why: str) -> None:
    """Refuse the first of these options that was given, rather than to pass over it.

    Args:
        options: values by name; None and False are those of an option that was not given.
        why: what goes on after the option's name.

    Raises:
        UsageError: one was given.
    """
    for option, value in options.items():
        if value is not None and value is not False:
            raise UsageError(f"{option} {why}")
