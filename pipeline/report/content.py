"""What a report says, as values: from the summary of a sweep and its manifest. Pure.

In: `Summary` (rows with verdicts, noise floors, the answer) and `Manifest`. Out: `ReportContent`:
strings ready to be shown, points and bars ready to be drawn. Renders nothing, opens nothing.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pipeline.analyse import GroupSummary, Summary, TrialSummary
from pipeline.analyse.words import policy_words
from pipeline.report.charts import Bar, Point
from pipeline.report.words import (
    floor,
    interval,
    milliseconds,
    moment,
    number,
    ratio,
    share,
    size,
)
from pipeline.store.manifest import Manifest
from pipeline.store.trial_row import TrialRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A name and what it is, in words."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table of trials.

    Attributes:
        kind: `control`, `inside` (the noise floor), `outside`, or `failed`.
        policy: expanded policy; controls carry their number.
        frozen, depth, step, speedup, interval, pairs: as shown.
        verdict: as shown; empty where the trial failed.
        reason: why the trial failed; empty otherwise.
    """

    kind: str
    policy: str
    frozen: str
    depth: str
    step: str
    speedup: str
    interval: str
    verdict: str
    pairs: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One model under one setting.

    Attributes:
        anchor: name of the section in addresses and file names; unique in the report.
        title: the group in words.
        answer: the answer, one string.
        noise_floor: dimensionless; None where no control was measured.
        layers: layers of the model as far as the trials show; the depth axis ends there.
        points, bars: for the figures; bars only of trials with a usable profile.
        rows: every trial.
        facts: how it was measured.
    """

    anchor: str
    title: str
    answer: str
    noise_floor: float | None
    layers: int
    points: tuple[Point, ...]
    bars: tuple[Bar, ...]
    rows: tuple[Row, ...]
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """A whole report.

    Attributes:
        study: the study's name.
        version: of the program that measured last.
        measured: when the runs began, in words.
        trials, failed: committed trials, and those of them that failed.
        sections: per model and setting.
        facts: versions and machine.
    """

    study: str
    version: str
    measured: str
    trials: int
    failed: int
    sections: tuple[Section, ...]
    facts: tuple[Fact, ...]


def report_content(summary: Summary, manifest: Manifest) -> ReportContent:
    """Everything that the report of a sweep says.

    Args:
        summary: of all committed trials.
        manifest: of the sweep.
    """
    taken: set[str] = set()
    sections = []
    models = [group.key.model for group in summary.groups]
    for group in summary.groups:
        alone = models.count(group.key.model) == 1
        anchor = _anchor(group.key.model if alone else group.title, taken)
        taken.add(anchor)
        sections.append(_section(group, anchor))
    runs = manifest.runs
    return ReportContent(
        study=manifest.study,
        version=runs[-1].frostline_version if runs else "",
        measured=_period(manifest),
        trials=summary.ok + summary.failed,
        failed=summary.failed,
        sections=tuple(sections),
        facts=(
            *(_machine_fact(name, value) for name, value in manifest.machine.items()),
            *(Fact(name=name, value=version) for name, version in manifest.versions.items()),
        ),
    )


def _section(group: GroupSummary, anchor: str) -> Section:
    rows = [item.row for item in group.trials]
    indices = [row.earliest_trainable_layer for row in rows]
    return Section(
        anchor=anchor,
        title=group.title,
        answer=group.answer,
        noise_floor=group.noise_floor,
        layers=1 + max((index for index in indices if index is not None), default=0),
        points=tuple(point for row in rows if (point := _point(row)) is not None),
        bars=tuple(
            Bar(policy=policy_words(row), pass_ns=row.passes_ns) for row in rows if row.passes_ns
        ),
        rows=tuple(_row(item) for item in group.trials),
        facts=tuple(_facts(group, rows)),
    )


def _point(row: TrialRow) -> Point | None:
    if row.speedup is None or row.speedup_low is None or row.speedup_high is None:
        return None
    return Point(
        policy=row.policy,
        is_control=row.is_control,
        frozen_fraction=row.frozen_fraction or 0.0,
        earliest_trainable_layer=row.earliest_trainable_layer or 0,
        speedup=row.speedup,
        low=row.speedup_low,
        high=row.speedup_high,
    )


def _row(item: TrialSummary) -> Row:
    row = item.row
    if row.status == "failed":
        kind = "failed"
    elif row.is_control:
        kind = "control"
    else:
        kind = "inside" if item.verdict == "no measurable difference" else "outside"
    return Row(
        kind=kind,
        policy=policy_words(row),
        frozen=share(row.frozen_fraction),
        depth=number(row.earliest_trainable_layer),
        step=milliseconds(row.step_ns),
        speedup=ratio(row.speedup),
        interval=interval(row.speedup_low, row.speedup_high),
        verdict="control" if row.is_control else item.verdict or "",
        pairs=number(row.pairs),
        reason=failure_words(row) if row.status == "failed" else "",
    )


def failure_words(row: TrialRow) -> str:
    """Why a trial failed, or left no profile: stage, kind and message."""
    stage = f"failed in {row.error_stage}" if row.status == "failed" else "no profile"
    return f"{stage}: {row.error_type or 'error'}: {row.error_message or 'no message'}"


def _facts(group: GroupSummary, rows: Sequence[TrialRow]) -> Iterable[Fact]:
    ok = [row for row in rows if row.status == "ok"]
    controls = f"{group.controls} control{'' if group.controls == 1 else 's'}"
    yield Fact(name="Noise floor", value=f"{floor(group.noise_floor)}, from {controls}")
    yield Fact(name="Baseline step", value=f"{milliseconds(group.baseline_step_ns)} ms (median)")
    yield Fact(name="Device", value=group.device_kind or "not known")
    yield Fact(name="Hosts", value=_distinct(rows, lambda row: row.host))
    yield Fact(name="XLA", value=_distinct(ok, lambda row: _yes_no(row.jit_resolved)))
    yield Fact(name="Pairing", value=_distinct(ok, lambda row: row.pairing))
    pairs = [row.pairs for row in ok if row.pairs is not None]
    if pairs:
        least, most = min(pairs), max(pairs)
        value = str(least) if least == most else f"{least} to {most}"
        yield Fact(name="Pairs per trial", value=value)
    stops = [row.stop_reason for row in ok if row.stop_reason]
    counted = [f"{stops.count(reason)} at {reason}" for reason in sorted(set(stops))]
    yield Fact(name="Stopped", value=", ".join(counted) or "not known")
    overheads = [row.profiler_overhead for row in ok if row.profiler_overhead is not None]
    if overheads:
        value = f"{ratio(statistics.median(overheads))} (profiled / unprofiled step, median)"
        yield Fact(name="Profiler overhead", value=value)
    shares = [row.attributed_fraction for row in ok if row.attributed_fraction is not None]
    if shares:
        value = f"at least {share(min(shares))} of each trial's op time has a pass"
        yield Fact(name="Attribution", value=value)
    without = [row for row in ok if row.error_stage == "profile"]
    if without:
        value = f"{len(without)} trials; the first: {failure_words(without[0])}"
        yield Fact(name="No profile", value=value)
    retried = [row for row in rows if row.attempts > 1]
    if retried:
        yield Fact(name="Retried", value=f"{len(retried)} trials needed more than one attempt")
    for warning in sorted({warning for row in rows for warning in row.warnings}):
        yield Fact(name="Warning", value=warning)


def _machine_fact(name: str, value: object) -> Fact:
    words = name.removesuffix("_bytes").replace("_", " ")
    in_bytes = name.endswith("_bytes") and isinstance(value, int)
    return Fact(name=words, value=size(value) if in_bytes else str(value))  # type: ignore[arg-type]


def _distinct(rows: Iterable[TrialRow], value: Callable[[TrialRow], str | None]) -> str:
    return ", ".join(sorted({found for row in rows if (found := value(row))})) or "not known"


def _yes_no(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"


def _period(manifest: Manifest) -> str:
    if not manifest.runs:
        return ""
    first, last = manifest.runs[0].started_at, manifest.runs[-1].started_at
    if len(manifest.runs) == 1:
        return moment(first)
    return f"{moment(first)} to {moment(last)}, {len(manifest.runs)} runs"


def _anchor(label: str, taken: set[str]) -> str:
    base = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:80] or "group"
    names = (base if count == 1 else f"{base}-{count}" for count in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)
