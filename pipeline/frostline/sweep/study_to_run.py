"""The study of an OUT, where its models are to be built again.

In: a sweep, and the study file or the word that OUT's copy can be trusted. Out: the study. An OUT
from somebody else may name any function as a builder, so its copy is run where it names ready-made
models alone, or where the caller says so.
"""

from __future__ import annotations

from pathlib import Path

from frostline.errors import StudyError, SweepError, UsageError
from frostline.store.outdir import STUDY
from frostline.store.sweep import Sweep
from frostline.study.parse import read_text
from frostline.study.study import Study, parse_study

_READY_MADE = ("frostline.models:", "keras.applications:")


def study_to_run(sweep: Sweep, file: Path | None, *, trusted: bool) -> Study:
    """The study of a sweep, ready to run.

    Args:
        sweep: what it was measured for.
        file: the study file, beside its builders; None: OUT's copy, and builders are looked for in
            the current folder and where Python finds modules.
        trusted: run what OUT's copy names, whoever wrote it. Ready-made models need no trust.

    Raises:
        StudyError: the file has mistakes.
        SweepError: OUT has no study.
        UsageError: OUT names foreign code, its builders are not found from here, or the file is
            another study's.
    """
    text = sweep.out.read_text(STUDY) if file is None else read_text(file)
    if text is None:
        raise SweepError(f"{sweep.out.files.shown} has no {STUDY}; pass --study the study file")
    former_names = file is None and sweep.manifest.begun_as_pipeline
    if file is None and not trusted:
        named = parse_study(text, check_builders=False, former_names=former_names)
        _refuse_foreign(named, f"{sweep.out.files.shown}/{STUDY}")
    try:
        study = parse_study(
            text,
            path=Path.cwd() / STUDY if file is None else file,
            former_names=former_names,
        )
    except StudyError as error:
        if file is not None:
            raise
        raise UsageError(
            f"{sweep.out.files.shown}/{STUDY} cannot be run from this folder. Where its builders "
            f"lie beside the study file, pass --study that file.\n{error}"
        ) from error
    if study.name != sweep.manifest.study:
        raise UsageError(
            f"{file}: the study is {study.name!r}, and {sweep.out.files.shown} holds "
            f"{sweep.manifest.study!r}"
        )
    return study


def _refuse_foreign(study: Study, where: str) -> None:
    """Raise where measuring would import and call what only an OUT names."""
    named = [name for model in study.models for name in (model.builder, model.data) if name]
    foreign = [name for name in named if not name.startswith(_READY_MADE)]
    if foreign:
        raise UsageError(
            f"{where} names {', '.join(map(repr, foreign))}: measuring would import and call that. "
            "Pass --study with a study file of yours; or, where you know who wrote these results, "
            "--trust-study"
        )
