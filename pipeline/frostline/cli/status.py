"""`frostline status`: what a sweep has done so far, or how a submitted one is doing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from frostline.cli.cluster import (
    TokenFileOption,
    connected,
    exit_code_of,
    job_document,
    verdict,
)
from frostline.cli.common import refuse_given
from frostline.cli.console import err, out
from frostline.cli.documents import AsJson, print_document
from frostline.cli.tables import FittedTable
from frostline.errors import UsageError

if TYPE_CHECKING:
    from frostline.sweep.status import SweepStatus

_LINES = 10


def status(
    asked: Annotated[
        str | None,
        typer.Argument(
            metavar="[OUT|JOB]",
            help="A sweep's folder or URI; with --address a job as `submit` named it, by default "
            "all of them.",
        ),
    ] = None,
    *,
    address: Annotated[
        str | None,
        typer.Option("--address", help="The cluster's dashboard, http://HEAD:8265, for a job."),
    ] = None,
    token_file: TokenFileOption = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow a job to its end; its exit code is this one.")
    ] = False,
    log: Annotated[bool, typer.Option("--log", help="Print all that a job has printed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a sweep has done so far, from its OUT; with --address how a job is doing."""
    if as_json:
        refuse_given({"--log": log}, "prints text: leave --json out")
    if address is not None:
        if asked is None:
            refuse_given(
                {"--wait": wait, "--log": log},
                "is for one job: pass its name, as `frostline status --address URL` lists it",
            )
        _job(asked, address, token_file, wait=wait, log=log, as_json=as_json)
        return
    if asked is None:
        raise UsageError(
            "pass OUT, the folder or URI of a sweep; or --address http://HEAD:8265 for the jobs of "
            "a cluster"
        )
    refuse_given(
        {"--wait": wait, "--log": log, "--token-file": token_file},
        "is for jobs of a cluster: pass --address with it",
    )
    from frostline.sweep.status import status as status_of

    found = status_of(asked)
    if as_json:
        print_document("status", {"kind": "sweep", **asdict(found)})
    else:
        _print(found)


def _print(found: SweepStatus) -> None:
    from frostline.words import DASH, moment, ratio

    console = out()
    there = found.ok + found.failed
    of, more = "" if found.planned is None else f" of {found.planned}", ""
    if found.planned is not None and there > found.planned:
        of, more = "", f"; the study has {found.planned} now, and those outside of it stay"
    failed = f", {found.failed} failed" if found.failed else ""
    console.print(Text(f"{found.study} in {found.out}", style="bold"))
    state = {
        "running": f"is running ({found.holder})",
        "finished": "is finished",
        "interrupted": "is not running and not finished: run it again on this OUT to resume",
        "held elsewhere": f"is held by {found.holder}, which cannot be looked at from here",
    }[found.state]
    console.print(f"The sweep {state}.")
    console.print(f"{there}{of} trials are there{failed}{more}.")
    if found.began is not None:
        last = (
            "" if found.last_commit is None else f"; last trial begun {moment(found.last_commit)}"
        )
        console.print(f"Begun {moment(found.began)}{last}.")
    if found.groups:
        console.print()
        console.print(
            FittedTable(
                ("model and setting", "ok", "failed", "speedup", "fastest so far"),
                (
                    (
                        group.title,
                        str(group.ok),
                        str(group.failed),
                        ratio(group.speedup),
                        group.fastest or DASH,
                    )
                    for group in found.groups
                ),
                words=(4,),
                goes=(2, 4, 3, 1),
            )
        )
    for failure in found.failures:
        console.print(Text(f"  {failure}", style="red"))


def _job(
    job: str | None,
    address: str,
    token_file: Path | None,
    *,
    wait: bool,
    log: bool,
    as_json: bool,
) -> None:
    from frostline.cli.job_progress import JobProgress

    api = connected(address, token_file)
    console = out()
    if job is None:
        jobs = api.jobs()
        if as_json:
            print_document("status", {"kind": "jobs", "jobs": [job_document(one) for one in jobs]})
            return
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
    if log or not (wait or as_json):
        lines = api.log(job).splitlines()
        for line in lines if log else lines[-_LINES:]:
            console.print(line, markup=False, soft_wrap=True)
    if as_json:
        print_document("status", {"kind": "job", **job_document(found)})
    else:
        console.print(verdict(found), markup=False, soft_wrap=True)
    if found.is_over and (code := exit_code_of(found)):
        raise typer.Exit(code)
