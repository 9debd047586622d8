"""What a sweep has done so far, from its OUT alone, whether it ran here or on a cluster.

In: an OUT. Out: `SweepStatus`. Nothing is written, and no driver is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from typing import Literal

from frostline.analyse import GroupKey
from frostline.store.lock import holder
from frostline.store.sweep import Sweep, as_sweep
from frostline.store.trial_row import TrialRow
from frostline.words import failure_words, policy_words

State = Literal["running", "finished", "interrupted", "held elsewhere"]
_FAILURES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStatus:
    """Committed trials of one model and setting.

    Attributes:
        title: the group in words.
        ok, failed: trials.
        fastest, speedup: the fastest so far; None where none was measured.
    """

    title: str
    ok: int
    failed: int
    fastest: str | None
    speedup: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepStatus:
    """How a sweep stands.

    Attributes:
        study, out: the study's name, and OUT as the user knows it.
        state: `running`: a driver holds OUT; `finished`: the last run of the whole study came to
            its end; `interrupted`: neither, run it again to resume; `held elsewhere`: another
            machine's driver began and has not said that it ended, which cannot be looked at from
            here.
        holder: which process holds it, in words; empty where none does.
        planned: trials of the last plan of the whole study; None where it is not known yet.
        ok, failed: committed trials.
        runs: how often it was run.
        began: start of the first run; None where there is none.
        last_commit: start of the trial that was begun last, of those committed; None likewise.
        groups: by model and setting.
        failures: the trials that failed last, in words, the latest at the end.
    """

    study: str
    out: str
    state: State
    holder: str
    planned: int | None
    ok: int
    failed: int
    runs: int
    began: datetime | None
    last_commit: datetime | None
    groups: tuple[GroupStatus, ...]
    failures: tuple[str, ...]


def status(sweep: Sweep | str | PathLike[str]) -> SweepStatus:
    """Read how a sweep stands.

    Raises:
        SweepError, StorageError: OUT is no sweep, or cannot be read.
    """
    sweep = as_sweep(sweep)
    rows = sweep.trial_rows()
    counts = Counter(row.status for row in rows)
    runs = sweep.manifest.whole_runs
    held = holder(sweep.out.files)
    failed = sorted((row for row in rows if row.status == "failed"), key=lambda row: row.started_at)
    return SweepStatus(
        study=sweep.manifest.study,
        out=sweep.out.files.shown,
        state=_state(held.lives if held else False, finished=sweep.manifest.finished),
        holder=held.words if held else "",
        planned=runs[-1].trials_planned if runs else None,
        ok=counts["ok"],
        failed=counts["failed"],
        runs=len(runs),
        began=runs[0].started_at if runs else None,
        last_commit=max((row.started_at for row in rows), default=None),
        groups=_groups(rows),
        failures=tuple(f"{policy_words(row)} {failure_words(row)}" for row in failed[-_FAILURES:]),
    )


def _state(lives: bool | None, *, finished: bool) -> State:
    if lives:
        return "running"
    if finished:
        return "finished"
    return "held elsewhere" if lives is None else "interrupted"


def _groups(rows: Iterable[TrialRow]) -> tuple[GroupStatus, ...]:
    by_group: dict[GroupKey, list[TrialRow]] = {}
    for row in rows:
        by_group.setdefault(GroupKey.of(row), []).append(row)
    found = []
    for key, mine in sorted(by_group.items()):
        measured = [row for row in mine if row.speedup is not None and not row.is_control]
        best = max(measured, key=lambda row: row.speedup or 0.0, default=None)
        found.append(
            GroupStatus(
                title=key.label,
                ok=sum(row.status == "ok" for row in mine),
                failed=sum(row.status == "failed" for row in mine),
                fastest=None if best is None else best.policy,
                speedup=None if best is None else best.speedup,
            )
        )
    return tuple(found)
