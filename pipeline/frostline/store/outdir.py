"""OUT, the output directory of a sweep: what is published there, and by whom.

In: a path or URI, and the rows of each trial. Out: `OutDir`; everything that is written to OUT goes
through it. A trial is published as one file per table, each atomic. The file in `trials` comes last
and is the commit. Refuses an OUT of another study, one that another driver holds, one written by a
newer version, and rows that do not fit the schema.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
from pydantic import JsonValue

from frostline.errors import SweepError
from frostline.store import lock
from frostline.store.address import Address
from frostline.store.amendments import Amendment, changes_of
from frostline.store.arrow import Rows
from frostline.store.files import Files, Source
from frostline.store.hold import Hold
from frostline.store.local import LocalFiles
from frostline.store.manifest import Manifest, parse_manifest, refuse_another_study, with_run
from frostline.store.publication import TrialTables, publication
from frostline.store.read import CommitIndex, read_trials
from frostline.store.remote import RemoteFiles
from frostline.store.storage_errors import storage_errors
from frostline.trial import STOPPING, StoppingRule

MANIFEST = "manifest.json"
STUDY = "study.toml"
_OWN_ENTRIES = frozenset({MANIFEST, STUDY, "tables", "tensorboard", "report", "logs"})
NO_FILES: Mapping[str, Source] = MappingProxyType({})

__all__ = ["NO_FILES", "Amendment", "OutDir", "TrialTables"]


class OutDir:
    """The output directory of a sweep, on a disk or in an object store.

    Attributes:
        address: where it lies.
    """

    def __init__(self, address: Address, files: Files) -> None:
        """Take files that are open; use `OutDir.open`."""
        self.address = address
        self.files = files
        self._index = CommitIndex(files)

    @staticmethod
    def open(place: str | os.PathLike[str] | Address, *, create: bool) -> OutDir:
        """Open an output directory.

        Args:
            place: a local path, or a URI that `pyarrow.fs.FileSystem.from_uri` opens, options in
                its query (`s3://bucket/sweep?region=eu-west-1`).
            create: make the folder when it is not there.

        Raises:
            SweepError: it is a file, does not exist (without `create`), or is no valid URI.
            StorageError: it cannot be made or reached.
        """
        address = Address.parse(place)
        if address.is_uri:
            return OutDir(address, RemoteFiles.open(address, create=create))
        return OutDir(address, LocalFiles(Path(address.reveal()).expanduser(), create=create))

    @property
    def at_nodes(self) -> Address:
        """The address as other processes and machines open it: a local path is absolute."""
        root = self.files.local_root
        return self.address if root is None else Address.parse(root)

    @property
    def local_path(self) -> Path | None:
        """The folder on this machine's disk, absolute; None in an object store."""
        return self.files.local_root

    def commits(self) -> dict[str, str]:
        """Status (`ok` or `failed`) of every trial that is committed, by `trial_id`.

        Raises:
            StorageError: a `trials` file cannot be read; names it.
        """
        return self._index.commits()

    def commit_of(self, trial_id: str) -> str | None:
        """Status of one trial; None when it is not committed.

        Raises:
            StorageError: its file cannot be read.
        """
        return self._index.status(trial_id)

    def trials(self) -> tuple[dict[str, str], pa.Table]:
        """The commits and the rows of `trials`, read at one moment, with this version's schema.

        Raises:
            StorageError: a `trials` file cannot be read; names it.
        """
        return read_trials(self.files, self._index)

    def publish(self, tables: TrialTables, files: Mapping[str, Source] = NO_FILES) -> None:
        """Publish a trial; an earlier attempt's rows are replaced, in every table.

        On a disk everything is prepared first, so that a full disk changes nothing. Then the old
        commit is withdrawn, the tables are replaced one by one, and the new commit comes last: a
        reader never finds the commit of one attempt beside the rows of another. Two attempts at
        the same trial must not be published at the same instant; the scheduler runs one at a time.

        Args:
            tables: the trial's rows.
            files: what else belongs to it, by name below OUT.

        Raises:
            TableDefectError: rows do not fit the schema; names table and column.
            StorageError: OUT cannot be written; what is published stays.
        """
        self.files.apply(publication(tables, files))

    def amend(
        self,
        trial_id: str,
        *,
        tables: Mapping[str, Rows],
        columns: Mapping[str, object] | None = None,
    ) -> None:
        """Replace some tables of a committed trial, and columns of its `trials` row.

        Arguments and errors as in `Amendment` and `amend_all`. Call with the lock held.
        """
        self.amend_all([Amendment(trial_id=trial_id, tables=tables, columns=columns or {})])

    def amend_all(self, amendments: Iterable[Amendment]) -> int:
        """Replace tables and columns of committed trials; how many trials that were.

        For values that are computed from a finished sweep. A trial stays committed throughout: its
        tables are replaced, then its row. A reader in between finds the new tables beside the old
        row. Many trials are written together, since each write to a disk waits for it. Call with
        the lock held.

        Raises:
            TableDefectError: rows or values do not fit the schema.
            StorageError: there is no such commit, or OUT cannot be read or written.
        """
        count = 0
        for several in changes_of(self.files, amendments):
            self.files.apply_in_any_order(each for one in several for each in one.tables)
            self.files.apply_in_any_order(one.row for one in several if one.row is not None)
            count += len(several)
        return count

    def put_file(self, source: Source, relative: str) -> None:
        """Put bytes, or a copy of a local file, at a name below OUT, atomically."""
        with self.files.batch() as batch:
            batch.put(relative, source)

    def put_tree(self, local: Path, relative: str, *, stale: Iterable[str] = ()) -> None:
        """Copy every file below a local folder to a folder below OUT, each of them atomically.

        Args:
            local: the folder.
            relative: its name below OUT; empty: OUT itself.
            stale: names in that folder that go afterwards, those excepted that `local` has.
        """
        with storage_errors("read", str(local)):
            names = sorted(
                path.relative_to(local).as_posix() for path in local.rglob("*") if path.is_file()
            )
        below = f"{relative}/" if relative else ""
        with self.files.batch() as batch:
            for name in names:
                batch.put(f"{below}{name}", local / name)
            for name in sorted(set(stale).difference(names)):
                batch.remove(f"{below}{name}")

    def fetch(self, relative: str, target: Path) -> bool:
        """Copy a file of OUT to a local path, making its folder; False when there is none."""
        content = self.files.read(relative)
        if content is None:
            return False
        with storage_errors("write", str(target)):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        return True

    def read_text(self, relative: str) -> str | None:
        """The text of a file below OUT; None when there is none."""
        content = self.files.read(relative)
        return None if content is None else content.decode("utf-8", errors="replace")

    def write_text(self, relative: str, text: str) -> None:
        """Write a text file below OUT; a reader sees the old text or the new one, whole."""
        with self.files.batch() as batch:
            batch.put(relative, text.encode("utf-8"))

    def remove_staging(self) -> None:
        """Remove what earlier runs had prepared and never published."""
        self.files.remove_staging()

    def lock(self) -> AbstractContextManager[Hold]:
        """Hold OUT against other drivers for the length of a block.

        Raises (on entry):
            SweepError: another driver holds it; names its process, host and start.
        """
        return lock.held(self.files)

    def manifest(self) -> Manifest | None:
        """The manifest; None when no run has begun here.

        Raises:
            SweepError: it is damaged, or a newer version of the program wrote it.
        """
        text = self.read_text(MANIFEST)
        return None if text is None else parse_manifest(text, self.files.shown)

    def begin_run(
        self,
        study_text: str,
        digest: str,
        name: str,
        versions: Mapping[str, str],
        *,
        machine: Mapping[str, JsonValue] | None = None,
        trials_planned: int | None = None,
        program: str | None = None,
        of_part: bool = False,
        stopping: StoppingRule = STOPPING,
        gpus_per_trial: int | None = None,
        gpus_found: bool = False,
    ) -> Manifest:
        """Enter a run into the manifest and keep the study file; call with the lock held.

        A changed study of the same name continues in the same OUT: the manifest lists the digest of
        each run, and trials that both have in common are not measured again.

        Args:
            study_text: the study file.
            digest: of the study.
            name: the study's name.
            versions: versions by program.
            machine: facts of this machine.
            trials_planned: trials of the whole plan.
            program: digest of the program's source.
            of_part: as in `RunRecord`.
            stopping: the rule by which the trials of a new OUT stop measuring.
            gpus_per_trial: GPUs that a trial holds.
            gpus_found: as in `Manifest`.

        Raises:
            SweepError: OUT holds another study, files that are no sweep's, or a newer schema.
            StorageError: OUT cannot be written.
        """
        before = self.manifest()
        self.refuse_foreign(before, name)
        manifest = with_run(
            before,
            where=self.files.shown,
            name=name,
            digest=digest,
            versions=versions,
            machine=machine or {},
            trials_planned=trials_planned,
            program=program,
            of_part=of_part,
            stopping=stopping,
            gpus_per_trial=gpus_per_trial,
            gpus_found=gpus_found,
        )
        with self.files.batch() as batch:
            batch.put(STUDY, study_text.encode("utf-8"))
            batch.put(MANIFEST, manifest.text().encode("utf-8"))
        return manifest

    def end_run(self, manifest: Manifest) -> None:
        """Enter the end of the run that `begin_run` has begun; call with the lock still held."""
        self.write_text(MANIFEST, manifest.with_end().text())

    def refuse_foreign(self, before: Manifest | None, study: str) -> None:
        """Raise where a run of a study would write beside what is not its own.

        Args:
            before: the manifest that is there.
            study: name of the study.

        Raises:
            SweepError: OUT holds another study, or files that are no sweep's.
            StorageError: OUT cannot be listed.
        """
        if before is not None:
            refuse_another_study(before, study, self.files.shown)
            return
        foreign = [
            entry
            for entry in self.files.entries()
            if entry not in _OWN_ENTRIES and not entry.startswith(".")
        ]
        if foreign:
            listed = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
            raise SweepError(
                f"{self.files.shown} holds files that are no sweep's ({listed}): choose an empty "
                "or a new folder for --out"
            )
