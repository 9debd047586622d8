"""Trials that are measured and on their way into a store: kept on this machine's disk until there.

In: what publishing a trial changes in an OUT that lies in an object store. Out: a copy on the disk
of the machine that measured, before anything is sent; it goes when the store has everything. What
is left there, because the store did not answer or the process was killed, is stored by the next run
on that OUT. Refuses nothing for want of a spool: a trial that cannot be kept is still published.

The folder is `$FROSTLINE_SPOOL`, else `frostline/spool` below `$XDG_STATE_HOME` or below
`~/.local/state`; in it, a private folder for each OUT, and in that one for each trial, whose
`record.json` is written last. A folder there that another user has made is passed over.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from filelock import FileLock
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from frostline.errors import FrostlineError, StorageError, UsageError
from frostline.private import is_mine, private_folder
from frostline.store.arrow import to_table
from frostline.store.faults import storage_errors
from frostline.store.files import FileChange, Source, checked_name, without_credentials
from frostline.store.local import STAGING, LocalFiles
from frostline.store.outdir import NO_FILES, OutDir
from frostline.store.publication import TrialTables, publication

SPOOL_VARIABLE = "FROSTLINE_SPOOL"
_RECORD = "record.json"
_PLACE = "out.txt"
_LOCK = ".lock"
_CLOCKS_DIFFER = timedelta(minutes=10)


class _Kept(BaseModel):
    """One change: a name below OUT, and the file here that it gets; none: it goes."""

    model_config = ConfigDict(frozen=True)
    name: Annotated[str, AfterValidator(checked_name)]
    file: Annotated[str, Field(pattern=r"^\d+$")] | None


class KeptTrial(BaseModel):
    """A trial in the spool.

    Attributes:
        trial_id: of the trial.
        status: `ok` or `failed`, as its commit says.
        started_at: start of the attempt.
        changes: what publishing it changes, in order.
    """

    model_config = ConfigDict(frozen=True)
    trial_id: str
    status: str
    started_at: AwareDatetime
    changes: tuple[_Kept, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of a spool.

    Attributes:
        host: the machine.
        place: the folder there.
        stored: status of the trials that are in OUT now, by `trial_id`.
        obsolete: trials dropped: OUT has them by now, or is a new one.
        left: trials that stay, because OUT could not take them; `why` says why.
    """

    host: str
    place: str
    stored: Mapping[str, str] = field(default_factory=dict)
    obsolete: int = 0
    left: int = 0
    why: str = ""


class Spool:
    """The part of this machine's spool that belongs to one OUT.

    Attributes:
        place: its folder; made when something is kept.
    """

    def __init__(self, out: OutDir) -> None:
        """Look at an OUT in a store; nothing is read or written yet."""
        self.place = spool_folder() / _name_of(out.uri)
        self._out = out

    def keep(self, tables: TrialTables, changes: Sequence[FileChange]) -> None:
        """Write a trial to the disk; what was kept of an earlier attempt is replaced.

        Args:
            tables: the trial's rows.
            changes: what publishing them changes.

        Raises:
            StorageError: the disk cannot be written.
            UsageError: something else stands where the folder should.
        """
        folder = tables.trial_id
        (row,) = to_table("trials", tables.trials).select(["status", "started_at"]).to_pylist()
        record = KeptTrial(
            trial_id=tables.trial_id,
            changes=tuple(
                _Kept(name=change.name, file=None if change.source is None else str(number))
                for number, change in enumerate(changes)
            ),
            **row,
        )
        self._files(create=True).apply(
            (
                FileChange(name=_PLACE, source=f"{without_credentials(self._out.uri)}\n".encode()),
                FileChange(name=f"{folder}/{_RECORD}", source=None),
                *(
                    FileChange(name=f"{folder}/{number}", source=change.source)
                    for number, change in enumerate(changes)
                    if change.source is not None
                ),
                FileChange(name=f"{folder}/{_RECORD}", source=record.model_dump_json().encode()),
            )
        )

    def forget(self, trial_id: str) -> None:
        """Remove a trial; one that is not there is fine."""
        if is_mine(self.place):
            files = self._files()
            with suppress(StorageError):
                files.apply((FileChange(name=f"{trial_id}/{_RECORD}", source=None),))
                files.delete_folder(trial_id)
            self._tidy()

    def trials(self) -> list[KeptTrial]:
        """What is kept, oldest first; what was written by half, or is damaged, is passed over."""
        found: list[KeptTrial] = []
        if not is_mine(self.place):
            return found
        files = self._files()
        for folder in files.entries():
            with suppress(StorageError, ValidationError):
                files.stamps(folder)  # refuses links
                kept = KeptTrial.model_validate_json(files.read(f"{folder}/{_RECORD}") or b"")
                if kept.trial_id == folder:
                    found.append(kept)
        return sorted(found, key=lambda kept: kept.started_at)

    def store(self, only: Collection[str] | None = None) -> Stored:
        """Store what is kept, and remove it here.

        Args:
            only: these trials; None: all.

        Returns:
            What became of it; nothing is raised for a store that cannot be reached.
        """
        done = Stored(host=socket.gethostname(), place=str(self.place))
        if not is_mine(self.place):
            return done
        self._files().remove_staging()
        kept = [each for each in self.trials() if only is None or each.trial_id in only]
        if not kept:
            self._tidy()
            return done
        stored: dict[str, str] = {}
        obsolete = 0
        try:
            with FileLock(str(self.place / _LOCK)):  # the nodes of a test cluster share a disk
                manifest = self._out.manifest()
                began = manifest.runs[0].started_at - _CLOCKS_DIFFER if manifest else None
                for each in kept:
                    if not self._has(each):
                        continue  # another process has just stored it
                    if began is None or each.started_at < began or self._superseded(each):
                        obsolete += 1
                    elif self._publish(each):
                        stored[each.trial_id] = each.status
                    self.forget(each.trial_id)
        except (StorageError, UsageError, OSError) as error:
            left = len(kept) - len(stored) - obsolete
            return replace(done, stored=stored, obsolete=obsolete, left=left, why=str(error))
        return replace(done, stored=stored, obsolete=obsolete)

    def _files(self, *, create: bool = False) -> LocalFiles:
        if create:
            with storage_errors("write", str(self.place)):
                private_folder(self.place, f"set {SPOOL_VARIABLE} to a folder of yours")
        return LocalFiles(self.place, create=False)

    def _tidy(self) -> None:
        """Remove the folder where it keeps nothing any more."""
        with suppress(OSError):  # another process is about to keep something
            if {each.name for each in self.place.iterdir()} <= {_PLACE, _LOCK, STAGING}:
                (self.place / _PLACE).unlink(missing_ok=True)
                (self.place / _LOCK).unlink(missing_ok=True)
                if (self.place / STAGING).exists():
                    (self.place / STAGING).rmdir()
                self.place.rmdir()

    def _superseded(self, kept: KeptTrial) -> bool:
        """Whether OUT has this trial, at least as good."""
        status = self._out.commit_of(kept.trial_id)
        return status is not None and (status == "ok" or kept.status != "ok")

    def _has(self, kept: KeptTrial) -> bool:
        return (self.place / kept.trial_id / _RECORD).exists()

    def _publish(self, kept: KeptTrial) -> bool:
        """Publish a trial; False where the lease that kept it has done so meanwhile."""
        folder = self.place / kept.trial_id
        try:
            self._out.files.apply(
                FileChange(name=each.name, source=folder / each.file if each.file else None)
                for each in kept.changes
            )
        except StorageError:
            if self._has(kept):
                raise
            return False
        return True


class SpoolingOut:
    """Publishes into a store, with the spool as a safety net; what leases publish through."""

    def __init__(self, out: OutDir) -> None:
        """Publish into this OUT."""
        self._out = out
        self._spool = Spool(out)

    def publish(self, tables: TrialTables, files: Mapping[str, Source] = NO_FILES) -> None:
        """As `OutDir.publish`; the trial is on this machine's disk until OUT has it.

        Raises:
            StorageError: OUT cannot be written; says where the trial is kept.
        """
        changes = publication(tables, files)
        unkept: FrostlineError | None = None
        try:
            self._spool.keep(tables, changes)
        except (StorageError, UsageError) as error:
            unkept = error
        try:
            self._out.files.apply(changes)
        except StorageError as error:
            if unkept is None:
                where = f"It is kept in {self._spool.place} on {socket.gethostname()}"
            else:
                where = f"It could not be kept on this machine either: {unkept}"
            raise type(error)(f"{error}. {where}") from error
        self._spool.forget(tables.trial_id)


def store_kept(out: OutDir, only: Collection[str] | None = None) -> Stored | None:
    """Store what this machine keeps for an OUT; None where there is nothing.

    Call with the lock held, or for trials that nobody else publishes.
    """
    if out.local_path is not None:
        return None
    done = Spool(out).store(only)
    return done if done.stored or done.obsolete or done.left else None


def spool_folder() -> Path:
    """Where this machine keeps trials for all OUTs."""
    if said := os.environ.get(SPOOL_VARIABLE):
        return Path(said).absolute()
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "frostline" / "spool"


def _name_of(uri: str) -> str:
    """A folder name for an OUT; credentials and options other than the endpoint do not count."""
    endpoint = parse_qs(urlsplit(uri).query).get("endpoint_override", [""])
    said = f"{without_credentials(uri).rstrip('/')} {endpoint[-1]}"
    return hashlib.sha256(said.encode()).hexdigest()[:16]
