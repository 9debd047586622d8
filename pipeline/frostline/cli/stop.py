"""`frostline stop`: interrupts a submitted sweep; what is finished is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from frostline.cli.cluster import (
    AddressOption,
    TokenFileOption,
    connected,
    job_document,
    verdict,
)
from frostline.cli.console import err, out
from frostline.cli.documents import AsJson, print_document

if TYPE_CHECKING:
    from frostline.submit.jobs_api import Job


def stop(
    job: Annotated[str, typer.Argument(metavar="JOB", help="As `submit` named it.")],
    *,
    address: AddressOption,
    token_file: TokenFileOption = None,
    as_json: AsJson = False,
) -> None:
    """Stop a submitted sweep in order: submitting it again on the same OUT resumes it."""
    api = connected(address, token_file)
    before = api.job(job)
    if before.is_over:
        _print(before, as_json=as_json)
        return
    api.stop(job)
    with err().status("waiting for its trials to end"):
        ended = api.follow(job, lambda _line: None)
    _print(ended, as_json=as_json)


def _print(job: Job, *, as_json: bool) -> None:
    if as_json:
        print_document("stop", job_document(job))
    else:
        out().print(verdict(job), markup=False, soft_wrap=True)
