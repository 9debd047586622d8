"""What an OUT decides once, for all of its runs: the GPUs of a trial, and when measuring stops.

In: the study, what OUT's manifest and its copy of the study record, and the GPUs that there are.
Out: the study with a number of GPUs and a stopping rule; sentences for the user. Refuses to go on
with an OUT on the other kind of machine.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from frostline.errors import SweepError
from frostline.store.manifest import Manifest
from frostline.study.study import Study
from frostline.trial import AUTO, BOOTSTRAPPED, FORMER_STOPPING, STOPPING

GpusThere = Callable[[], int]
"""How many GPUs a sweep may use where it runs; on a cluster it takes seconds to find out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """A study as an OUT measures it.

    Attributes:
        study: with a number of GPUs and OUT's stopping rule.
        asked: the study says `auto`.
        gpus_found: the number follows from what was there when OUT was begun.
        begun: OUT was there before.
    """

    study: Study
    asked: bool
    gpus_found: bool
    begun: bool


def resolved(
    study: Study, before: Manifest | None, kept_study: str | None, gpus_there: GpusThere
) -> Resolution:
    """Decide what a study leaves open, or take what its OUT has decided.

    Args:
        study: as its file says.
        before: OUT's manifest; None in a new OUT.
        kept_study: OUT's copy of the study of its last run.
        gpus_there: asked where the study says `auto` and OUT is new.
    """
    asked = study.resources.gpus_per_trial == AUTO
    found = False
    gpus = study.gpus
    if asked and before is None:
        gpus, found = min(1, gpus_there()), True
    elif asked and before is not None:
        found = before.gpus_found
        recorded = before.gpus_per_trial
        gpus = _gpus_in(kept_study) if recorded is None else recorded
    stopping = STOPPING if before is None else before.stopping
    return Resolution(
        study=replace(study.with_gpus(gpus), stopping=stopping),
        asked=asked,
        gpus_found=found,
        begun=before is not None,
    )


def refuse_other_machine(resolution: Resolution, where: str, gpus_there: GpusThere) -> None:
    """Raise where trials that are left would run on the other kind of machine.

    Args:
        resolution: of OUT.
        where: OUT, for the message.
        gpus_there: asked where OUT's number followed from what was there.

    Raises:
        SweepError: OUT was begun with GPUs and there are none, or the other way round.
    """
    if not (resolution.begun and resolution.gpus_found):
        return
    with_gpus = resolution.study.gpus > 0
    if with_gpus == (gpus_there() > 0):
        return
    raise SweepError(
        f"{where} was begun where there are GPUs, so each of its trials holds one, and there is "
        "none here: go on where there are GPUs, or choose another --out to measure on CPU cores"
        if with_gpus
        else f"{where} was begun where there is no GPU, so its trials run on CPU cores, and there "
        "are GPUs here: choose another --out to measure on them, or set gpus_per_trial = 0 under "
        "[resources] to go on on CPU cores"
    )


def notices_of(resolution: Resolution, gpus_there: GpusThere) -> Iterator[str]:
    """What the user should know of an OUT that goes on as it was begun."""
    if not resolution.begun:
        return
    if resolution.study.stopping == FORMER_STOPPING:
        yield (
            "this OUT was begun when target_ci was the half-width of the interval itself, and its "
            "trials go on to be measured so; in a new --out it is a share of the speedup, and "
            "intervals are exact"
        )
    if resolution.study.stopping == BOOTSTRAPPED:
        yield (
            "this OUT was begun when intervals were bootstrapped, which are too narrow, and its "
            "trials go on to be measured so; in a new --out they are exact"
        )
    # `refuse_other_machine` has looked at the others.
    keeps_none = resolution.asked and not resolution.gpus_found and not resolution.study.gpus
    if keeps_none and gpus_there():
        yield (
            "this OUT was begun with gpus_per_trial = 0 and goes on on CPU cores; choose another "
            "--out to measure on the GPUs here"
        )


def _gpus_in(study: str | None) -> int:
    """GPUs of a trial by an OUT's copy of a study from before the number was recorded."""
    try:
        said = tomllib.loads(study or "").get("resources", {}).get("gpus_per_trial", 0)
    except (tomllib.TOMLDecodeError, AttributeError):
        return 0
    return said if isinstance(said, int) else 0
