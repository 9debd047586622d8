"""`frostline submit`: hands a study to a Ray cluster, and follows it if wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frostline.cli.cluster import (
    AddressOption,
    TokenFileOption,
    connected,
    exit_code_of,
    job_document,
    verdict,
)
from frostline.cli.console import err, note, out
from frostline.cli.documents import AsJson, print_document


def submit(
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")],
    where: Annotated[
        str,
        typer.Option("--out", help="Folder or URI for the results, as the cluster's nodes see it."),
    ],
    address: AddressOption,
    token_file: TokenFileOption = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the sweep to its end; its exit code is this one.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a study on a Ray cluster, as a job that goes on when this machine leaves."""
    from frostline.cli.job_progress import JobProgress
    from frostline.study.study import load_study

    load_study(study)  # reports mistakes before the cluster is asked
    api = connected(address, token_file)
    with err().status("uploading the study and the program"):
        job = api.submit(study, where)
    for notice in job.notices:
        note(notice)
    console = out()
    if not as_json:
        console.print(
            f"Job {job.job_id} is with the cluster ({job.size_bytes / 1024**2:.1f} MiB uploaded).\n"
            f"Results: {job.out}\n"
            f"Follow:  frostline status {job.job_id} --address {api.address} --wait\n"
            f"Stop:    frostline stop {job.job_id} --address {api.address}",
            markup=False,
            soft_wrap=True,
        )
    if not wait:
        if as_json:
            submitted = {"job_id": job.job_id, "out": job.out, "size_bytes": job.size_bytes}
            print_document("submit", {**submitted, "address": api.address})
        return
    try:
        with JobProgress(err()) as progress:
            ended = api.follow(job.job_id, progress.take)
    except KeyboardInterrupt:
        err().print("Not followed any more; the job goes on.")
        raise
    if as_json:
        print_document("submit", {**job_document(ended), "address": api.address})
    else:
        console.print(verdict(ended), markup=False, soft_wrap=True)
    if code := exit_code_of(ended):
        raise typer.Exit(code)
