"""A sweep and a target -> what was written, and how to look at it.

In: a sweep, a target, and where to. Out: `Exported`. Refuses (`UsageError`) an unknown target, a
folder with other files, and a tracking store whose library is not installed.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

from frostline.errors import UsageError
from frostline.exporting.flat import flat_tables
from frostline.exporting.to_mlflow import to_mlflow, tracking_uri
from frostline.exporting.to_wandb import to_wandb
from frostline.exporting.tracking import TrackedRun, tracked_runs
from frostline.notebook import html_facts, one_line
from frostline.store.flat_files import Format, write_flat
from frostline.store.outdir import OutDir
from frostline.store.schema import PredictionRow
from frostline.store.sweep import Sweep, as_sweep
from frostline.suggest import advice

FOLDER = "export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export wrote.

    Attributes:
        to: the target.
        where: path or URI of the folder or the store.
        written: files of a data set, or new runs of a tracking store.
        there: runs that were there already.
        next: the command that shows them; empty where any reader does.
    """

    to: str
    where: str
    written: int
    there: int
    next: str

    def __repr__(self) -> str:
        return one_line("Exported", self.where, self._facts())

    def _repr_html_(self) -> str:
        return html_facts(f"Exported to {self.where}", self._facts())

    def _facts(self) -> dict[str, str]:
        facts = {"to": self.to, "written": str(self.written), "there already": str(self.there)}
        return facts | ({"next": self.next} if self.next else {})


def export(
    sweep: Sweep | str | PathLike[str],
    to: str,
    *,
    out: str | PathLike[str] | None = None,
) -> Exported:
    """Export a sweep.

    Args:
        sweep: the sweep, or its path.
        to: `parquet`, `csv`, `mlflow` or `wandb`.
        out: where to: a folder; for data sets also a URI, for MLflow also a tracking URI. Default:
            `export/<to>` in the sweep's OUT.

    Raises:
        SweepError: the sweep has no trial yet.
        UsageError: there is no such target, the folder holds other files, the library is not
            installed, or OUT is in an object store and the target needs a folder.
        StorageError: a table cannot be read, or the place cannot be written.
    """
    if to not in TARGETS:
        raise UsageError(f"--to {to}: {advice(to, list(TARGETS))}")
    sweep = as_sweep(sweep)
    sweep.refuse_empty()
    return TARGETS[to](sweep, None if out is None else fspath(out))


def _flat(form: Format) -> Callable[[Sweep, str | None], Exported]:
    def exported(sweep: Sweep, out: str | None) -> Exported:
        if out is None:
            place, folder = sweep.out, f"{FOLDER}/{form}"
        else:
            place, folder = OutDir.open(out, create=True), ""
        names = write_flat(flat_tables(sweep), place, folder, form)
        where = "/".join(filter(None, (place.files.shown.rstrip("/"), folder)))
        return Exported(to=form, where=where, written=len(names), there=0, next="")

    return exported


def _to_mlflow(sweep: Sweep, out: str | None) -> Exported:
    place = out if out is not None and "://" in out else str(_folder(sweep, out, "mlflow"))
    runs = _runs(sweep)
    about = {"study": sweep.manifest.study, "shown": sweep.out.files.shown}
    written = to_mlflow(runs, place=place, **about)
    uri = tracking_uri(place)
    return Exported(
        to="mlflow",
        where=place,
        written=written,
        there=len(runs) - written,
        next="" if uri == place else f"mlflow ui --backend-store-uri {shlex.quote(uri)}",
    )


def _to_wandb(sweep: Sweep, out: str | None) -> Exported:
    place = _folder(sweep, out, "wandb")
    about = {"study": sweep.manifest.study, "shown": sweep.out.files.shown}
    runs = _runs(sweep)
    written = to_wandb(runs, place=place, **about)
    return Exported(
        to="wandb",
        where=str(place),
        written=written,
        there=len(runs) - written,
        next=f"wandb sync {shlex.quote(str(place))}/wandb/offline-run-*",
    )


TARGETS: Mapping[str, Callable[[Sweep, str | None], Exported]] = {
    "parquet": _flat("parquet"),
    "csv": _flat("csv"),
    "mlflow": _to_mlflow,
    "wandb": _to_wandb,
}


def _runs(sweep: Sweep) -> tuple[TrackedRun, ...]:
    return tracked_runs(sweep.trial_rows(), sweep.rows(PredictionRow))


def _folder(sweep: Sweep, out: str | None, to: str) -> Path:
    """The folder of a tracking store on this machine's disk."""
    if out is not None:
        place = OutDir.open(out, create=True).local_path
    else:
        root = sweep.out.local_path
        place = None if root is None else root / FOLDER / to
    if place is None:
        raise UsageError(
            f"{to} keeps its runs in a folder on this machine: choose one with --out FOLDER"
        )
    return place
