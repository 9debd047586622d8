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


def begin(out: OutDir, study: Study, planned: int, *, gpus_found: bool) -> Manifest:
    """Enter a run that begins; refuses an OUT that is not this study's.

    Args:
        out: where; its lock is held.
        study: what is about to run.
        planned: trials of the whole plan.
        gpus_found: as in `Manifest`.

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
        stopping=study.stopping,
        gpus_per_trial=study.gpus,
        gpus_found=gpus_found,
    )


def is_as_it_was(manifest: Manifest, study: Study) -> bool:
    """Whether the last run came to its end with this study and this very program."""
    return (
        manifest.finished
        and manifest.digest == study.digest
        and manifest.versions == versions()
        and manifest.runs[-1].program == program()
    )
