"""What a run enters into the manifest: the study, versions, this machine.

In: the study and OUT. Out: the manifest with one more run, and whether the last run was the same.
"""

from __future__ import annotations

import platform

import psutil
from pydantic import JsonValue

from frostline.facts.provenance import program
from frostline.installed import PYTHON, installed
from frostline.machine import usable_memory
from frostline.store.manifest import Manifest
from frostline.store.outdir import OutDir
from frostline.study.study import Study
from frostline.version import __version__

_NAMED = (
    PYTHON, "tensorflow", "keras", "ray", "tensorboard-plugin-profile", "numpy", "pyarrow",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of this program, of Python and of the libraries that matter, by name."""
    return {"frostline": __version__, **installed(_NAMED)}


def begin(
    out: OutDir, study: Study, planned: int, *, gpus_found: bool, of_part: bool = False
) -> Manifest:
    """Enter a run that begins; refuses an OUT that is not this study's.

    Args:
        out: where; its lock is held.
        study: what is about to run.
        planned: trials of the whole plan.
        gpus_found: as in `Manifest`.
        of_part: as in `RunRecord`.

    Raises:
        SweepError: OUT holds another study, files that are no sweep's, or a newer schema.
        StorageError: OUT cannot be written.
    """
    machine: dict[str, JsonValue] = {
        "host": platform.node(),
        "system": platform.platform(),
        "cpu_count": psutil.cpu_count(),
        "memory_bytes": usable_memory(),
    }
    return out.begin_run(
        study.text,
        study.digest,
        study.name,
        versions(),
        machine=machine,
        trials_planned=planned,
        program=program(),
        of_part=of_part,
        stopping=study.stopping,
        gpus_per_trial=study.gpus,
        gpus_found=gpus_found,
    )


def is_as_it_was(manifest: Manifest, study: Study) -> bool:
    """Whether the last runs came to their end, with this study and this very program."""
    return (
        manifest.finished
        and manifest.runs[-1].finished_at is not None
        and manifest.digest == study.digest
        and manifest.versions == versions()
        and manifest.runs[-1].program == program()
    )
