"""The manifest of a sweep: whose OUT it is, what wrote it, and every run that added to it.

In: the text of `manifest.json`, or the facts of a new run. Out: `Manifest`, and its text.
Refuses a manifest of a newer schema version, of another study, or one that cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue, ValidationError

from frostline.errors import DamagedError, SweepError
from frostline.store.schema import SCHEMA_VERSION
from frostline.trial import FORMER_STOPPING, STOPPING, StoppingRule
from frostline.version import __version__


class RunRecord(BaseModel):
    """One run of a driver on this OUT.

    Attributes:
        started_at: UTC.
        frostline_version: version of the program.
        study_digest: digest of the study file at that time.
        trials_planned: trials of the whole plan, finished ones included; None when not known.
        versions: versions by program; empty in old runs, which did not record them.
        program: digest of the program's source; None in old runs, which did not record it.
        of_part: the run was about a part of the study, such as the trial that verifies a
            recommendation; `trials_planned` counts that part.
        finished_at: UTC, end of the run, predictions included; None: interrupted.
    """

    model_config = ConfigDict(frozen=True)

    started_at: AwareDatetime
    frostline_version: str
    study_digest: str
    trials_planned: int | None = None
    versions: dict[str, str] = {}
    program: str | None = None
    of_part: bool = False
    finished_at: AwareDatetime | None = None


class Manifest(BaseModel):
    """What an OUT is.

    Attributes:
        schema_version: of the tables; a reader refuses a newer one than its own.
        study: the study's name.
        digest: digest of the study file of the last run.
        versions: versions by program, of the last run.
        machine: facts of the driver's machine, of the last run.
        runs: every run, oldest first.
        stopping: the rule by which its trials stop measuring, the same in all runs.
        gpus_per_trial: GPUs that a trial held in the last run; None where it was not recorded.
        gpus_found: what was found on the machine or cluster decided about that number, because the
            study says `auto`.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: int
    study: str
    digest: str
    versions: dict[str, str]
    machine: dict[str, JsonValue] = {}
    runs: tuple[RunRecord, ...]
    stopping: StoppingRule = FORMER_STOPPING
    gpus_per_trial: int | None = None
    gpus_found: bool = False

    @property
    def whole_runs(self) -> tuple[RunRecord, ...]:
        """The runs of the whole study, oldest first."""
        return tuple(run for run in self.runs if not run.of_part)

    @property
    def finished(self) -> bool:
        """Whether the last run of the whole study came to its end."""
        return bool(self.whole_runs) and self.whole_runs[-1].finished_at is not None

    @property
    def begun_as_pipeline(self) -> bool:
        """Whether a program before 0.2.0 began it, whose package was called `pipeline`."""
        return bool(self.runs) and self.runs[0].frostline_version.startswith("0.1.")

    def with_end(self) -> Manifest:
        """The manifest after its last run has come to its end."""
        last = self.runs[-1].model_copy(update={"finished_at": datetime.now(UTC)})
        return self.model_copy(update={"runs": (*self.runs[:-1], last)})

    def text(self) -> str:
        """As written to `manifest.json`."""
        return self.model_dump_json(indent=2) + "\n"


def parse_manifest(text: str, where: str) -> Manifest:
    """Read a manifest.

    Args:
        text: content of `manifest.json`.
        where: OUT as the user knows it, for messages.

    Raises:
        SweepError: it is damaged, or a newer version of the program wrote it.
    """
    try:
        raw = json.loads(text)
        version = raw["schema_version"]
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise SweepError(
                f"{where} has tables of schema version {version}, and this is Frostline "
                f"{__version__}, which knows versions up to {SCHEMA_VERSION}: "
                "upgrade frostline"
            )
        return Manifest.model_validate(raw)
    except (ValidationError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedError(
            f"{where}/manifest.json is damaged ({str(error).splitlines()[0]}): restore it from a "
            "copy, or choose another --out"
        ) from error


def refuse_another_study(manifest: Manifest, study: str, where: str) -> None:
    """Raise where an OUT is not this study's.

    Args:
        manifest: of OUT.
        study: name of the study that is about to run.
        where: OUT, for the message.

    Raises:
        SweepError: OUT holds another study.
    """
    if manifest.study == study:
        return
    runs = manifest.runs
    begun = f" (begun {runs[0].started_at:%Y-%m-%d %H:%M} UTC)" if runs else ""
    raise SweepError(
        f"{where} holds the study {manifest.study!r}{begun}, not {study!r}: choose another --out "
        "for this study"
    )


def with_run(
    before: Manifest | None,
    *,
    where: str,
    name: str,
    digest: str,
    versions: Mapping[str, str],
    machine: Mapping[str, JsonValue],
    trials_planned: int | None,
    program: str | None = None,
    of_part: bool = False,
    stopping: StoppingRule = STOPPING,
    gpus_per_trial: int | None = None,
    gpus_found: bool = False,
) -> Manifest:
    """The manifest after one more run has begun.

    Args:
        before: the present manifest; None in a new OUT.
        where: OUT, for messages.
        name: name of the study that is about to run.
        digest: digest of that study.
        versions: see `Manifest`.
        machine: see `Manifest`.
        trials_planned: see `RunRecord`.
        program: see `RunRecord`.
        of_part: see `RunRecord`.
        stopping: see `Manifest`; of a new OUT.
        gpus_per_trial: see `Manifest`.
        gpus_found: see `Manifest`.

    Raises:
        SweepError: OUT holds another study.
    """
    if before is not None:
        refuse_another_study(before, name, where)
    run = RunRecord(
        started_at=datetime.now(UTC),
        frostline_version=__version__,
        study_digest=digest,
        trials_planned=trials_planned,
        versions=dict(versions),
        program=program,
        of_part=of_part,
    )
    return Manifest(
        schema_version=SCHEMA_VERSION,
        study=name,
        digest=digest,
        versions=dict(versions),
        machine=dict(machine),
        runs=((*before.runs, run) if before else (run,)),
        stopping=before.stopping if before else stopping,
        gpus_per_trial=gpus_per_trial,
        gpus_found=gpus_found,
    )
