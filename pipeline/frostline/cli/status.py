"""`frostline status`: how a submitted sweep is doing."""

from __future__ import annotations

from typing import Annotated

import typer

from frostline.cli.cluster import AddressOption, TokenFileOption, connected, exit_code_of, verdict
from frostline.cli.console import err, out

_LINES = 10


def status(
    job: Annotated[
        str | None, typer.Argument(metavar="JOB", help="As `submit` named it; default: list them.")
    ] = None,
    *,
    address: AddressOption,
    token_file: TokenFileOption = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the sweep to its end; its exit code is this one.")
    ] = False,
    log: Annotated[bool, typer.Option("--log", help="Print everything it has printed.")] = False,
) -> None:
    """Show how a submitted sweep is doing, or list the cluster's sweeps."""
    from frostline.cli.job_progress import JobProgress

    api = connected(address, token_file)
    console = out()
    if job is None:
        jobs = api.jobs()
        for each in jobs:
            console.print(verdict(each), markup=False, soft_wrap=True)
        if not jobs:
            console.print("No sweep was submitted to this cluster.")
        return
    if wait:
        with JobProgress(err()) as progress:
            found = api.follow(job, progress.take)
    else:
        found = api.job(job)
        lines = api.log(job).splitlines()
        for line in lines if log else lines[-_LINES:]:
            console.print(line, markup=False, soft_wrap=True)
    console.print(verdict(found), markup=False, soft_wrap=True)
    if found.is_over and (code := exit_code_of(found)):
        raise typer.Exit(code)
