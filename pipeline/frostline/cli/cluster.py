"""What the commands on a cluster share: where it is, connecting to it, and words for a job."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frostline.cli.console import note
from frostline.errors import INTERRUPTED

if TYPE_CHECKING:
    from frostline.submit.jobs_api import Job, JobsApi

AddressOption = Annotated[
    str, typer.Option("--address", help="The cluster's dashboard, http://HEAD:8265.")
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        help="File with the cluster's token; default: where Ray looks "
        "(RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH, ~/.ray/auth_token).",
    ),
]


def connected(address: str, token_file: Path | None) -> JobsApi:
    """The Jobs API at an address.

    Raises:
        UsageError: nothing answers there, or the token is missing or wrong.
    """
    from frostline.submit.access import reach

    access = reach(address, token_file=token_file)
    for notice in access.notices:
        note(notice)
    from frostline.submit.jobs_api import JobsApi  # takes seconds to import

    return JobsApi(access)


def verdict(job: Job) -> str:
    """One line on a job: what it is, how it stands, and what to do next."""
    words = {
        "PENDING": "waits to be started",
        "RUNNING": "is running",
        "STOPPED": "was stopped; submit it again on the same OUT to resume",
        "SUCCEEDED": "is finished",
        "FAILED": {
            1: "ended with failures: rows of failed trials, or its log, say why",
            2: "was refused; its log says why (frostline status JOB --log)",
            INTERRUPTED: "was interrupted; submit it again on the same OUT to resume",
        }.get(job.exit_code or 0, f"failed: {job.message}"),
    }[job.status]
    since = ""
    if job.started_at is not None and not job.is_over:
        since = f" since {datetime.fromtimestamp(job.started_at).astimezone():%Y-%m-%d %H:%M %z}"
    where = f"  ->  {job.out}" if job.out else ""
    return f"{job.job_id} {words}{since}{where}"


def job_document(job: Job) -> dict[str, Any]:
    """A job as JSON."""
    return {
        "job_id": job.job_id, "status": job.status, "exit_code": job.exit_code,
        "message": job.message, "study": job.study, "out": job.out,
        "started_at": job.started_at, "ended_at": job.ended_at,
    }  # fmt: skip


def exit_code_of(job: Job) -> int:
    """The exit code of a command that waited for a job, as if it had run here."""
    if job.status == "SUCCEEDED":
        return 0
    if job.status == "STOPPED":
        return INTERRUPTED
    known = job.exit_code in (1, 2, INTERRUPTED)
    return job.exit_code if known and job.exit_code is not None else 1
