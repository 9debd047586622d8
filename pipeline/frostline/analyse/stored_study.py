"""The study that a sweep keeps.

In: a sweep. Out: the `Study` in its OUT, as it was run last. Refuses a study file that is missing
or cannot be read; builders are not looked for.
"""

from __future__ import annotations

from frostline.errors import SweepError, UsageError
from frostline.store.outdir import STUDY
from frostline.store.sweep import Sweep
from frostline.study.study import Study, parse_study


def study_of(sweep: Sweep) -> Study:
    """The study of a sweep.

    Raises:
        SweepError: OUT has none, or it cannot be used.
        StorageError: OUT cannot be read.
    """
    text = sweep.out.read_text(STUDY)
    where = f"{sweep.out.files.shown}/{STUDY}"
    if text is None:
        raise SweepError(
            f"{where} does not exist, and policies cannot be read without it; restore it"
        )
    try:
        return parse_study(
            text, check_builders=False, former_names=sweep.manifest.begun_as_pipeline
        )
    except UsageError as error:
        raise SweepError(f"{where} cannot be used: {error}") from error
