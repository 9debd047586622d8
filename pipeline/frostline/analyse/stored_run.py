"""The training run and the published points that a sweep's study describes.

In: a sweep, and what was asked for now. Out: the `Run` that bills are made for, or none; published
points. Refuses a `[run]` in OUT's study that holds what no study may, and an incomplete run that
was asked for.
"""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from frostline.billing.run import NO_RUN, Run, settled
from frostline.errors import StudyError, SweepError
from frostline.published import Published
from frostline.store.outdir import STUDY
from frostline.store.sweep import Sweep
from frostline.study.parse import parsed
from frostline.study.tables import PublishedTable, RunTable
from frostline.study.wording import dotted, shown, worded_all


def run_of(sweep: Sweep, asked: Run | None = None) -> Run | None:
    """The run that bills of a sweep are made for.

    Args:
        sweep: whose study may describe one.
        asked: what was passed now; each value goes before the study's.

    Returns:
        None where nothing was asked for and the study does not tell examples and epochs.

    Raises:
        UsageError: something was asked for, and examples or epochs are not known.
        SweepError: `[run]` in OUT's study is wrong.
        StorageError: OUT cannot be read.
    """
    return settled(asked, _stored(sweep))


def _stored(sweep: Sweep) -> Run:
    """What `[run]` says; nothing where there is no study that can be read.

    The other tables are not looked at: what needs them says what is wrong with them.
    """
    text = sweep.out.read_text(STUDY)
    where = f"{sweep.out.files.shown}/{STUDY}"
    try:
        raw = {} if text is None else parsed(text, where)
    except StudyError:
        return NO_RUN
    try:
        return _RunAlone.model_validate(raw).run.spec()
    except ValidationError as error:
        first = worded_all(error.errors())[0]
        raise SweepError(
            f"{where} cannot be used: {dotted(first.key)} = {shown(first.given)}: {first.text}"
        ) from error


def published_of(sweep: Sweep) -> tuple[Published, ...]:
    """The published speedups that OUT's study names; none where it cannot be read."""
    text = sweep.out.read_text(STUDY)
    try:
        raw = {} if text is None else parsed(text, STUDY)
        return tuple(each.spec() for each in _PublishedAlone.model_validate(raw).published)
    except (StudyError, ValidationError):
        return ()


class _PublishedAlone(BaseModel):
    """A study file of which only `[[published]]` is looked at."""

    published: tuple[PublishedTable, ...] = ()


class _RunAlone(BaseModel):
    """A study file of which only `[run]` is looked at."""

    run: RunTable = RunTable()
