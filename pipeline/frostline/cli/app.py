"""The `frostline` command: its sub-commands, and the one place where errors become exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from frostline.cli.console import complain
from frostline.cli.diff import diff
from frostline.cli.doctor import doctor
from frostline.cli.explain import explain
from frostline.cli.plan import plan
from frostline.cli.predict import predict
from frostline.cli.reattribute import reattribute
from frostline.cli.recommend import recommend
from frostline.cli.report import report
from frostline.cli.status import status
from frostline.cli.stop import stop
from frostline.cli.submit import submit
from frostline.cli.sweep import sweep
from frostline.cli.tensorboard import tensorboard
from frostline.errors import FrostlineError
from frostline.version import __version__

INTERRUPTED = 130

app = typer.Typer(
    name="frostline",
    help="If I freeze these layers, how much faster is a training step, why, and what should I "
    "freeze? Measured, not guessed.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    plan, sweep, submit, status, stop, report, explain, diff, predict, recommend, reattribute,
    tensorboard, doctor,
):  # fmt: skip
    app.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"frostline {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show it and exit."),
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: what follows `frostline`; default: the process's own.

    Returns:
        The exit code; a `FrostlineError` has become one message on standard error.
    """
    try:
        app(args=arguments if arguments is None else list(arguments), prog_name="frostline")
    except SystemExit as ended:  # how Typer reports an exit code, wrong usage (2) included
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except FrostlineError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
