"""Sweeps as Ray jobs: submitted, looked at, followed and stopped through a cluster's Jobs API.

In: a study file, OUT, and a cluster that answered (`frostline.submit.access.reach`). Out: a job,
its state and its log. The job is `frostline sweep` on the cluster's head; it goes on when this
machine disconnects. Refuses an OUT with keys, which everybody on the cluster could read.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import ray
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from frostline.errors import FrostlineError, UsageError
from frostline.scratch import scratch_folder
from frostline.store.address import Address
from frostline.study.study import load_study
from frostline.submit.access import Access
from frostline.submit.bundle import SOURCE_ROOT, pack

SWEEP = ("python", "-m", "frostline", "sweep")
"""What runs on the head; takes STUDY and `--out OUT`."""

POLL_S = 1.0
_PATIENCE_S = 120.0
_STOP_WAIT_S = 60
_LISTED = 5
_ADDRESSES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")

Status = Literal["PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as the cluster describes it.

    Attributes:
        job_id: its submission id.
        status: Ray's.
        exit_code: of the sweep; None while it runs, and where it never came to an end.
        message: what Ray says about the status.
        study, out: what was asked; empty for a job of another program.
        started_at, ended_at: seconds since the epoch; None where it has not.
    """

    job_id: str
    status: Status
    exit_code: int | None
    message: str
    study: str
    out: str
    started_at: float | None
    ended_at: float | None

    @property
    def is_over(self) -> bool:
        """Whether it will not change any more."""
        return self.status in ("STOPPED", "SUCCEEDED", "FAILED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A job that the cluster took.

    Attributes:
        job_id: its submission id.
        out: where the results will be, as the cluster opens it.
        size_bytes: of what was uploaded.
        notices: what the user should know.
    """

    job_id: str
    out: str
    size_bytes: int
    notices: tuple[str, ...]


# Ray tells of each upload on standard error.
logging.getLogger("ray.dashboard.modules.dashboard_sdk").setLevel(logging.WARNING)
logging.getLogger("ray._private.runtime_env.packaging").setLevel(logging.WARNING)


class JobsApi:
    """The Jobs API of one cluster."""

    def __init__(self, access: Access) -> None:
        """Take a cluster that answers.

        Raises:
            UsageError: it stopped answering.
        """
        self.address = access.address
        # Ray would send requests and the token to these rather than to the given address.
        aside = {name: os.environ.pop(name) for name in _ADDRESSES if name in os.environ}
        try:
            with self._errors():
                self._client = JobSubmissionClient(access.address, headers=dict(access.headers))
        finally:
            os.environ.update(aside)
        self._ray_version = access.ray_version

    def submit(self, study: Path, out: str) -> Submitted:
        """Upload a study with the program, and start its sweep.

        Args:
            study: the study file.
            out: folder or URI for the results, as the cluster's nodes open it; a local path counts
                from this machine's current folder.

        Raises:
            StudyError: the study has mistakes.
            UsageError: OUT carries a password, or the study's folder is too large.
        """
        asked = load_study(study)
        where, notices = reachable(out)
        if self._ray_version != ray.__version__:
            notices.append(
                f"the cluster runs Ray {self._ray_version}, this machine {ray.__version__}"
            )
        name = re.sub(r"[^a-z0-9]+", "-", asked.name.lower()).strip("-")[:30].strip("-")
        with scratch_folder(prefix="frostline-submit-") as folder, self._errors():
            bundle = pack(study, folder)
            if bundle.left_out:
                notices.append(f"not uploaded: {', '.join(bundle.left_out)}")
            job_id = self._client.submit_job(
                entrypoint=shlex.join([*SWEEP, bundle.study, "--out", where, "--address", "auto"]),
                submission_id=f"frostline-{name or 'study'}-{secrets.token_hex(4)}",
                metadata={"frostline_study": asked.name, "frostline_out": where},
                runtime_env={
                    "working_dir": str(bundle.folder),
                    "env_vars": {
                        # The job's own process reads it: after this, SIGTERM becomes SIGKILL, and
                        # Ray's 3 s are too short to end leases in order.
                        "RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_WAIT_S),
                        "PYTHONUNBUFFERED": "1",
                        # The uploaded source runs, and no copy that the node has installed.
                        "PYTHONPATH": SOURCE_ROOT,
                    },
                },
            )
        return Submitted(
            job_id=str(job_id), out=where, size_bytes=bundle.size_bytes, notices=tuple(notices)
        )

    def job(self, job_id: str) -> Job:
        """Look at a job.

        Raises:
            UsageError: there is none of this name.
        """
        with self._errors(job_id):
            return _job(self._client.get_job_info(job_id))

    def jobs(self) -> list[Job]:
        """Every job that was submitted to this cluster by this program, latest first."""
        with self._errors():
            found = [_job(details) for details in self._client.list_jobs()]
        ours = [job for job in found if job.study]
        return sorted(ours, key=lambda job: job.started_at or 0.0, reverse=True)

    def log(self, job_id: str) -> str:
        """What a job has printed so far."""
        with self._errors(job_id):
            return str(self._client.get_job_logs(job_id))

    def stop(self, job_id: str) -> Job:
        """Interrupt a job; what it has committed stays. Returns before it is gone."""
        with self._errors(job_id):
            self._client.stop_job(job_id)
        return self.job(job_id)

    def follow(self, job_id: str, tell: Callable[[str], None]) -> Job:
        """Wait for the end of a job, and tell each line that it prints, from the first one on.

        A cluster that does not answer for a while, as when a tunnel is opened again, is waited for.

        Raises:
            FrostlineError: the cluster has not answered for two minutes.
        """
        told = 0
        heard_at = time.monotonic()
        while True:
            try:
                job = self.job(job_id)
                log = self.log(job_id)
            except LostClusterError:
                if time.monotonic() - heard_at > _PATIENCE_S:
                    raise
            else:
                heard_at = time.monotonic()
                end = len(log) if job.is_over else log.rfind("\n") + 1
                for line in log[told:end].splitlines():
                    tell(line)
                told = max(told, end)
                if job.is_over:
                    return job
            time.sleep(POLL_S)

    @contextmanager
    def _errors(self, job_id: str | None = None) -> Iterator[None]:
        """Ray's and the network's errors as ours; none of them holds the token."""
        try:
            yield
        except (requests.exceptions.RequestException, ConnectionError) as error:
            raise LostClusterError(
                f"the cluster at {self.address} does not answer ({type(error).__name__}); a job "
                "that was submitted goes on by itself"
            ) from None
        except AuthenticationError:
            raise UsageError(
                f"the cluster at {self.address} does not take the token any more"
            ) from None
        except RuntimeError as error:
            if job_id is not None and "status code 404" in str(error):
                known = ", ".join(job.job_id for job in self.jobs()[:_LISTED])
                raise UsageError(
                    f"the cluster at {self.address} has no job {job_id!r}; the latest sweeps "
                    f"there: {known or 'none'}"
                ) from None
            raise FrostlineError(f"the cluster at {self.address} says: {error}") from error


class LostClusterError(FrostlineError):
    """The cluster does not answer at the moment."""


def reachable(out: str) -> tuple[str, list[str]]:
    """OUT as the cluster's nodes are to open it, and what to know about that.

    Raises:
        UsageError: it is empty, or carries keys that everybody on the cluster could read.
    """
    address = Address.parse(out)
    if address.holds_keys:
        raise UsageError(
            f"--out {address} must not hold keys: a job's command is shown to everybody on the "
            "cluster. Let the nodes have the right to write there (an instance profile, a service "
            "account)"
        )
    if address.is_uri:
        return address.reveal(), []
    path = Path(out).expanduser().absolute()
    return str(path), [
        f"results go to {path}: every node must see that folder (NFS and the like); else use an "
        "object store, --out s3://BUCKET/PREFIX"
    ]


def _job(details: Any) -> Job:
    metadata = cast("Mapping[str, str]", details.metadata or {})
    return Job(
        job_id=str(details.submission_id or details.job_id),
        status=cast("Status", str(getattr(details.status, "value", details.status))),
        exit_code=details.driver_exit_code,
        message=details.message or "",
        study=metadata.get("frostline_study", ""),
        out=metadata.get("frostline_out", ""),
        started_at=_seconds(details.start_time),
        ended_at=_seconds(details.end_time),
    )


def _seconds(milliseconds: int | None) -> float | None:
    return milliseconds / 1000 if milliseconds else None
