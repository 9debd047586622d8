"""Keeps measured trials on this machine's disk until an object store has them.

In: the changes by which a trial is published to an OUT in an object store. Out: a copy on the disk
of the machine that measured it, written before anything is sent and removed when the store has
everything. A copy that is left, because the store did not answer or the process was killed, is
stored by the next run on that OUT. A trial that cannot be kept on the disk is still published.

The folder is `$FROSTLINE_SPOOL`, else `frostline/spool` below `$XDG_STATE_HOME` or below
`~/.local/state`; for a user without a home, it is below the folder for temporary files. It has a
private folder for each OUT, with a folder for each trial, whose `record.json` is written last. A
folder there that another user has made is not used.
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

from filelock import FileLock
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from frostline.errors import FrostlineError, StorageError, SweepError, UsageError
from frostline.private import is_mine, private_folder
from frostline.scratch import temporary_folder
from frostline.store.address import Address
from frostline.store.arrow import to_table
from frostline.store.files import FileChange, Source, checked_name
from frostline.store.local import STAGING, LocalFiles
from frostline.store.outdir import NO_FILES, OutDir
from frostline.store.publication import TrialTables, publication
from frostline.store.storage_errors import storage_errors

SPOOL_VARIABLE = "FROSTLINE_SPOOL"
_RECORD = "record.json"
_PLACE = "out.txt"
_LOCK = ".lock"
_CLOCKS_DIFFER = timedelta(minutes=10)
_LOCK_S = 300.0  # of a process that may hang; what is kept then stays kept


class _Kept(BaseModel):
    """One change: a name below OUT and the file here to put there; without one it is removed."""

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
    """The result of storing what a spool keeps.

    Attributes:
        host: the machine.
        place: the folder there.
        stored: status of the trials that were stored, by `trial_id`.
        obsolete: trials that were deleted, because OUT has them already or is a new one.
        left: trials that remain, because OUT could not take them; `why` says why.
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
        """Take an OUT in a store; nothing is read or written yet."""
        self.place = spool_folder() / _name_of(out.address)
        self._out = out

    def keep(self, tables: TrialTables, changes: Sequence[FileChange]) -> None:
        """Write a trial to the disk, in place of an earlier attempt.

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
        self._made().apply(
            (
                FileChange(name=_PLACE, source=f"{self._out.address}\n".encode()),
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
        files = self._there()
        if files is not None:
            with suppress(StorageError):
                files.apply((FileChange(name=f"{trial_id}/{_RECORD}", source=None),))
                files.delete_folder(trial_id)
            self._tidy()

    def trials(self) -> list[KeptTrial]:
        """The trials that are kept, oldest first; incomplete and damaged ones are skipped."""
        found: list[KeptTrial] = []
        files = self._there()
        if files is None:
            return found
        try:
            folders = files.entries()
        except StorageError:
            if self.place.exists():
                raise
            return found  # another process has just removed it
        for folder in folders:
            with suppress(StorageError, ValidationError):
                files.stamps(folder)  # refuses links
                kept = KeptTrial.model_validate_json(files.read(f"{folder}/{_RECORD}") or b"")
                if kept.trial_id == folder:
                    found.append(kept)
        return sorted(found, key=lambda kept: kept.started_at)

    def store(self, only: Collection[str] | None = None) -> Stored:
        """Store the trials that are kept, and remove them here.

        Args:
            only: these trials; None: all.

        Returns:
            The result; a store that cannot be reached is part of it and not raised.
        """
        done = Stored(host=socket.gethostname(), place=str(self.place))
        files = self._there()
        if files is None:
            return done
        files.remove_staging()
        kept = [each for each in self.trials() if only is None or each.trial_id in only]
        if not kept:
            self._tidy()
            return done
        stored: dict[str, str] = {}
        obsolete = settled = 0
        try:
            # The nodes of a test cluster share a disk.
            with FileLock(str(self.place / _LOCK), timeout=_LOCK_S):
                manifest = self._out.manifest()
                began = manifest.runs[0].started_at - _CLOCKS_DIFFER if manifest else None
                for each in kept:
                    if self._has(each):  # else another process has just stored it
                        if began is None or each.started_at < began or self._superseded(each):
                            obsolete += 1
                        elif self._publish(each):
                            stored[each.trial_id] = each.status
                        self.forget(each.trial_id)
                    settled += 1
        except (StorageError, UsageError, OSError) as error:
            left = sum(map(self._has, kept[settled:]))
            why = str(error) if left else ""
            return replace(done, stored=stored, obsolete=obsolete, left=left, why=why)
        return replace(done, stored=stored, obsolete=obsolete)

    def _made(self) -> LocalFiles:
        """The files of the folder, which is made where it is missing."""
        with storage_errors("write", str(self.place)):
            private_folder(self.place, f"set {SPOOL_VARIABLE} to a folder of yours")
        return LocalFiles(self.place, create=False)

    def _there(self) -> LocalFiles | None:
        """The files of the folder; None where it keeps nothing.

        Other processes make it when they keep a trial, and remove it when the last one is stored.
        """
        if is_mine(self.place):
            with suppress(SweepError):  # it has just been removed
                return LocalFiles(self.place, create=False)
        return None

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
        """Whether OUT has this trial from an attempt that is at least as good."""
        status = self._out.commit_of(kept.trial_id)
        return status is not None and (status == "ok" or kept.status != "ok")

    def _has(self, kept: KeptTrial) -> bool:
        return (self.place / kept.trial_id / _RECORD).exists()

    def _publish(self, kept: KeptTrial) -> bool:
        """Publish a trial; False where the lease that kept it has published it in the meantime."""
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
    """Publishes the trials of leases to a store; the spool has a copy until the store has them."""

    def __init__(self, out: OutDir) -> None:
        """Publish into this OUT."""
        self._out = out
        self._spool = Spool(out)

    def publish(self, tables: TrialTables, files: Mapping[str, Source] = NO_FILES) -> None:
        """Publish like `OutDir.publish`; the trial is on this machine's disk until OUT has it.

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
    try:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    except RuntimeError:  # as in containers that run under a number which no account has
        return temporary_folder() / f"frostline-spool-{os.getuid()}"
    return Path(state) / "frostline" / "spool"


def _name_of(address: Address) -> str:
    """A folder name for an OUT."""
    return hashlib.sha256(address.identity.encode()).hexdigest()[:16]
