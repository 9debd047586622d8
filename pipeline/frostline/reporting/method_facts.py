"""How a sweep was measured, in words: noise, pairs, profiler, machine, versions. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from frostline.analyse import GroupSummary
from frostline.reporting.evidence import ReportEvidence
from frostline.store.manifest import Manifest
from frostline.store.trial_row import TrialRow
from frostline.words import (
    counted,
    failure_words,
    floor,
    milliseconds,
    moment,
    ratio,
    share,
    size,
    span,
)

_WARNINGS = 20
_ALL = 0.9995


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A name and what it is, in words."""

    name: str
    value: str


def sweep_facts(manifest: Manifest) -> tuple[Fact, ...]:
    """The driver's machine and the versions of the last run."""
    return (
        *(_machine_fact(name, value) for name, value in manifest.machine.items()),
        *(Fact(name=name, value=version) for name, version in manifest.versions.items()),
    )


def period(manifest: Manifest) -> str:
    """When the runs began; empty without any."""
    if not manifest.runs:
        return ""
    first, last = manifest.runs[0].started_at, manifest.runs[-1].started_at
    if len(manifest.runs) == 1:
        return moment(first)
    return f"{moment(first)} to {moment(last)}, {len(manifest.runs)} runs"


def group_facts(group: GroupSummary, evidence: ReportEvidence) -> Iterable[Fact]:
    """How one model and setting was measured."""
    rows = [item.row for item in group.trials]
    ok = [row for row in rows if row.status == "ok"]
    controls = counted(group.controls, "control")
    yield Fact(name="Noise floor", value=f"{floor(group.noise_floor)}, from {controls}")
    yield Fact(name="Baseline step", value=f"{milliseconds(group.baseline_step_ns)} ms (median)")
    yield Fact(name="Device", value=group.device_kind or "not known")
    yield Fact(name="Hosts", value=_distinct(rows, lambda row: row.host))
    if len(versions := sorted({_versions_of(row) for row in ok})) > 1:
        yield Fact(name="Measured by", value="; ".join(versions))
    yield Fact(name="XLA", value=_distinct(ok, lambda row: _yes_no(row.jit_resolved)))
    yield Fact(name="Pairing", value=_distinct(ok, lambda row: row.pairing))
    yield from _sampling(ok)
    yield from _profiles(ok, evidence)
    retried = sum(row.attempts > 1 for row in rows)
    if retried:
        yield Fact(
            name="Retried", value=f"{counted(retried, 'trial')} needed more than one attempt"
        )
    warnings = sorted({warning for row in rows for warning in row.warnings})
    for warning in warnings[:_WARNINGS]:
        yield Fact(name="Warning", value=warning)
    if len(warnings) > _WARNINGS:
        rest = len(warnings) - _WARNINGS
        yield Fact(name="Warning", value=f"and {rest} more, in `trials.warnings`")
    for notice in (*evidence.notices, *evidence.unpredicted):
        yield Fact(name="Left out", value=notice)


def _sampling(ok: Sequence[TrialRow]) -> Iterable[Fact]:
    pairs = [row.pairs for row in ok if row.pairs is not None]
    if pairs:
        yield Fact(name="Pairs per trial", value=span(str(min(pairs)), str(max(pairs))))
    stops = [row.stop_reason for row in ok if row.stop_reason]
    by_reason = [f"{stops.count(reason)} at {reason}" for reason in sorted(set(stops))]
    yield Fact(name="Stopped", value=", ".join(by_reason) or "not known")


def _profiles(ok: Sequence[TrialRow], evidence: ReportEvidence) -> Iterable[Fact]:
    overheads = [row.profiler_overhead for row in ok if row.profiler_overhead is not None]
    if overheads:
        value = f"{ratio(statistics.median(overheads))} (profiled / unprofiled step, median)"
        yield Fact(name="Profiler overhead", value=value)
    shares = [row.attributed_fraction for row in ok if row.attributed_fraction is not None]
    if shares:
        least = min(shares)
        value = (
            f"at least {share(least)} of each trial's op time has a pass"
            if least < _ALL
            else "all of each trial's op time has a pass, to a twentieth of a per cent"
        )
        yield Fact(name="Attribution", value=value)
    known, layers = evidence.flops_known
    if layers:
        yield Fact(name="FLOPs", value=f"registered for {known} of {layers} layers")
    without = [row for row in ok if row.error_stage == "profile"]
    if without:
        value = f"{counted(len(without), 'trial')}; the first: {failure_words(without[0])}"
        yield Fact(name="No profile", value=value)


def _machine_fact(name: str, value: object) -> Fact:
    words = name.removesuffix("_bytes").replace("_", " ")
    in_bytes = name.endswith("_bytes") and isinstance(value, int)
    return Fact(name=words, value=size(value) if in_bytes else str(value))  # type: ignore[arg-type]


def _distinct(rows: Iterable[TrialRow], value: Callable[[TrialRow], str | None]) -> str:
    return ", ".join(sorted({found for row in rows if (found := value(row))})) or "not known"


def _versions_of(row: TrialRow) -> str:
    """What measured a trial, as far as its row says."""
    programs = {
        "frostline": row.frostline_version,
        "tensorflow": row.tensorflow_version,
        "keras": row.keras_version,
    }
    return ", ".join(f"{name} {version}" for name, version in programs.items() if version)


def _yes_no(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"
