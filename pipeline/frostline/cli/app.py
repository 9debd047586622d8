"""The `frostline` command: its sub-commands, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from frostline.cli.common import with_common_options
from frostline.cli.compare import compare
from frostline.cli.console import be_quiet, complain, err
from frostline.cli.demo import demo
from frostline.cli.diff import diff
from frostline.cli.doctor import doctor
from frostline.cli.explain import explain
from frostline.cli.export import export
from frostline.cli.layers import layers
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
from frostline.errors import INTERRUPTED, FrostlineError
from frostline.version import __version__

_WrongUse: type[Exception] = typer.BadParameter.__mro__[1]
"""Wrong arguments, of any kind; Typer names only this subclass in public."""

app = typer.Typer(
    name="frostline",
    help="If I freeze these layers, how much faster is a training step, why, and what should I "
    "freeze? Measured, not guessed.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    demo, layers, plan, sweep, submit, status, stop, report, explain, diff, compare, predict,
    recommend, export, reattribute, tensorboard, doctor,
):  # fmt: skip
    app.command()(with_common_options(command))


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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what its encoding lacks is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    be_quiet(False)
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = app(args=given, prog_name="frostline", standalone_mode=False)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except _WrongUse as error:
        return _wrong_use(error)
    except FrostlineError as error:
        complain(str(error))
        return error.exit_code
    except (MemoryError, ImportError) as error:
        if isinstance(error, ImportError) and "map segment" not in str(error):
            raise
        complain(
            "there is not enough memory: close other programs, or raise this process's limit "
            "(`ulimit -v`), then run the same command again"
        )
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        complain(
            f"a disk is full ({error}): free some space, or set TMPDIR to a folder elsewhere, then "
            "run the same command again"
        )
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _wrong_use(error: Exception) -> int:
    """Say how the command is used, and what was wrong."""
    context = getattr(error, "ctx", None)
    said = error.format_message() if hasattr(error, "format_message") else str(error)
    if not said:  # nothing was asked for, and Typer has printed the help
        return 2
    if context is not None:
        err().print(context.get_usage(), soft_wrap=True)
        said = f"{said}\n  `{context.command_path} --help` lists what it takes"
    complain(said)
    return 2


if __name__ == "__main__":
    sys.exit(main())
