"""`frostline stop`: interrupts a submitted sweep; what is finished is kept."""

from __future__ import annotations

from typing import Annotated

import typer

from frostline.cli.cluster import AddressOption, TokenFileOption, connected, verdict
from frostline.cli.console import err, out


def stop(
    job: Annotated[str, typer.Argument(metavar="JOB", help="As `submit` named it.")],
    *,
    address: AddressOption,
    token_file: TokenFileOption = None,
) -> None:
    """Stop a submitted sweep in order: submitting it again on the same OUT resumes it."""
    api = connected(address, token_file)
    before = api.job(job)
    if before.is_over:
        out().print(verdict(before), markup=False, soft_wrap=True)
        return
    api.stop(job)
    with err().status("waiting for its trials to end"):
        ended = api.follow(job, lambda _line: None)
    out().print(verdict(ended), markup=False, soft_wrap=True)
