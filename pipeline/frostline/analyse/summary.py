"""The summary of a sweep: per group its trials with verdicts, and the evidence for an answer.

In: rows of `trials`, in any order. Out: `Summary`, everything that the terminal and the report show
of it. Numbers that the data do not support are None.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from frostline.analyse.association import Association, associate
from frostline.analyse.busy import busy_fraction
from frostline.analyse.dispatch import may_compile
from frostline.analyse.forward_alone import REMOVABLE
from frostline.analyse.groups import (
    GroupKey,
    TrialGroup,
    Verdict,
    is_unusable,
    trial_groups,
    verdict,
)
from frostline.analyse.placement import SIMILAR_FRACTION, similar
from frostline.analyse.waits import waits_by_pass
from frostline.store.trial_row import RUNS_EAGERLY, TrialRow

_APART = 1.05
"""The least ratio of two speedups that is worth a sentence about where one freezes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSummary:
    """One trial and what its speedup is worth; `verdict` is None where it has no speedup."""

    row: TrialRow
    verdict: Verdict | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """Two configurations that freeze about as much in different places.

    Attributes:
        faster, slower: the intervals of their speedups do not overlap.
    """

    faster: TrialRow
    slower: TrialRow


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSummary:
    """One model under one training setting on one kind of device.

    Attributes:
        key: which model and setting.
        device_kind: device that measured it; None where no trial came that far.
        title: all of that in words; the device only where the setting was measured on several.
        noise_floor: over all controls, dimensionless; None without a measured control.
        control_rows: the measured copies of the baseline; those of the plain model.
        trials: all trials, ascending by frozen fraction, failed ones last.
        baseline_step_ns: median over its trials; None when nothing was measured.
        by_fraction, by_position: the frozen fraction, and the position of the earliest trainable
            layer, held against the speedup; None with fewer than five configurations or three
            distinct values.
        best: the configuration with the largest speedup that is `faster`.
        contrast: the clearest pair at similar frozen fraction; None when there is none.
        busy_fraction: share of the baseline's step in which the device works, see
            `frostline.analyse.busy`; None without trace.
        waits: what the baseline's step waits for, nanoseconds by pass, see
            `frostline.analyse.waits`; None where it is not known.
        waits_modelled: the waits are shared out by the number of ops that ran, which is a model.
        input_fraction: share of the baseline's step in which it reads and copies batches; None
            without trace.
        may_compile: whether asking for XLA would change the baseline's step.
        removable_fraction: share of the baseline's op time in gradients and update: all that
            freezing can remove behind the forward pass; None without trace.
        eager: why its steps run eagerly and what to change; None where they are compiled.
    """

    key: GroupKey
    device_kind: str | None
    title: str
    noise_floor: float | None
    control_rows: tuple[TrialRow, ...]
    trials: tuple[TrialSummary, ...]
    baseline_step_ns: int | None
    by_fraction: Association | None
    by_position: Association | None
    best: TrialRow | None
    contrast: Contrast | None
    busy_fraction: float | None
    waits: Mapping[str, int] | None
    waits_modelled: bool
    input_fraction: float | None
    may_compile: bool
    removable_fraction: float | None
    eager: str | None = None

    @property
    def is_unreadable(self) -> bool:
        """Whether its noise is so large that no speedup can be believed."""
        return is_unusable(self.noise_floor)

    def step_ns(self, row: TrialRow) -> float | None:
        """A trial's step beside the group's baseline: that one's / the speedup; None without one.

        Each trial was measured beside a baseline of its own moment. On a machine whose speed drifts
        the steps of two trials, as measured, cannot be compared; their speedups can.
        """
        if self.baseline_step_ns is None or not row.speedup:
            return row.step_ns
        return self.baseline_step_ns / row.speedup

    @property
    def configurations(self) -> tuple[TrialRow, ...]:
        """Measured configurations that differ from the baseline, each once."""
        return tuple(_distinct(item.row for item in self.candidates))

    @property
    def controls(self) -> int:
        """How many controls were measured."""
        return len(self.control_rows)

    @property
    def candidates(self) -> tuple[TrialSummary, ...]:
        """Measured trials that freeze something, or are variants."""
        return tuple(item for item in self.trials if item.verdict and item.row.differs)

    @property
    def failed(self) -> tuple[TrialRow, ...]:
        """Failed trials."""
        return tuple(item.row for item in self.trials if item.row.status == "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A sweep in short.

    Attributes:
        groups: per model and setting, ascending.
        ok, failed: committed trials by status.
    """

    groups: tuple[GroupSummary, ...]
    ok: int
    failed: int


def summarise(rows: Iterable[TrialRow]) -> Summary:
    """Summarise the committed trials of a sweep; noise floors are recomputed over all controls."""
    rows = list(rows)
    return Summary(
        groups=tuple(_group(group) for group in trial_groups(rows)),
        ok=sum(row.status == "ok" for row in rows),
        failed=sum(row.status == "failed" for row in rows),
    )


def _group(group: TrialGroup) -> GroupSummary:
    rows, floor = group.rows, group.noise_floor
    items = [TrialSummary(row=row, verdict=verdict(row, floor)) for row in rows]
    items.sort(key=_order)
    measured = [item for item in items if item.verdict and item.row.differs]
    configurations = _distinct(item.row for item in measured)
    faster = [item.row for item in measured if item.verdict == "faster"]
    baselines = [row for row in rows if not _freezes(row)] or list(rows)
    return GroupSummary(
        key=group.key,
        device_kind=group.device_kind,
        title=group.title,
        noise_floor=floor,
        control_rows=tuple(sorted(group.controls, key=lambda row: (row.replicate, row.trial_id))),
        trials=tuple(items),
        baseline_step_ns=group.baseline_step_ns,
        by_fraction=associate((row.frozen_fraction, row.speedup) for row in configurations),
        by_position=associate(
            (row.earliest_trainable_layer, row.speedup) for row in configurations
        ),
        best=max(faster, key=lambda row: row.speedup or 0.0, default=None),
        contrast=_contrast(configurations, floor or 0.0) if faster else None,
        busy_fraction=_median(busy_fraction(row) for row in baselines),
        waits=_waits(baselines),
        waits_modelled=any(row.unobserved_ops is not None for row in baselines),
        input_fraction=_median(_input_fraction(row) for row in baselines),
        may_compile=any(may_compile(row) for row in baselines if row.status == "ok"),
        removable_fraction=_median(_removable_fraction(row) for row in baselines),
        eager=next((row.error_message for row in rows if row.error_type == RUNS_EAGERLY), None),
    )


def _waits(baselines: Iterable[TrialRow]) -> dict[str, int] | None:
    known = [waits for row in baselines if (waits := waits_by_pass(row)) is not None]
    if not known:
        return None
    return {name: round(statistics.median(waits[name] for waits in known)) for name in known[0]}


def _freezes(row: TrialRow) -> bool:
    return bool(row.frozen_variables)


def _order(item: TrialSummary) -> tuple[bool, float, int, str]:
    row = item.row
    fraction = -1.0 if row.frozen_fraction is None else row.frozen_fraction
    return (row.status == "failed", fraction, row.replicate, row.trial_id)


def _distinct(rows: Iterable[TrialRow]) -> list[TrialRow]:
    return list({row.frozen_variables: row for row in rows}.values())


def _contrast(rows: Sequence[TrialRow], floor: float) -> Contrast | None:
    """The pair whose intervals lie furthest apart, among those that freeze about as much.

    About as much: the fractions differ by at most 0.05, and by at most a fifth of the larger. In
    different places: two kinds of policy, or two sets of which neither contains the other.
    """
    known = sorted(
        (
            (row.frozen_fraction, row.speedup, row.speedup_low, row.speedup_high, row)
            for row in rows
            if row.frozen_fraction is not None
            and row.speedup is not None
            and row.speedup_low is not None
            and row.speedup_high is not None
        ),
        key=lambda entry: entry[0],
    )
    fractions, speedups, highs = (
        np.array([entry[column] for entry in known]) for column in (0, 1, 3)
    )
    best, clearest = None, 1.0
    apart = max(_APART, (1 + floor) / (1 - floor)) if floor < 1 else np.inf  # both may be off
    for number, (fraction, speedup, low, _, row) in enumerate(known):
        start, stop = np.searchsorted(
            fractions, [fraction - SIMILAR_FRACTION, fraction + SIMILAR_FRACTION]
        )
        near = slice(start, max(int(stop), number + 1))
        gap = low / highs[near]
        clearer = (gap > clearest) & (speedup / speedups[near] > apart)
        for place in np.flatnonzero(clearer)[np.argsort(-gap[clearer], kind="stable")]:
            other = known[int(start) + int(place)][4]
            if similar(fraction, other.frozen_fraction or 0.0) and _placed_apart(row, other):
                best, clearest = Contrast(faster=row, slower=other), float(gap[place])
                break
    return best


def _placed_apart(one: TrialRow, other: TrialRow) -> bool:
    if one.policy.partition(":")[0] != other.policy.partition(":")[0]:
        return True
    mine, theirs = set(one.frozen_variables), set(other.frozen_variables)
    return not (mine <= theirs or theirs <= mine)


def _input_fraction(row: TrialRow) -> float | None:
    passes = row.passes_ns or {}
    total, busy = sum(passes.values()), busy_fraction(row)
    return (1.0 if busy is None else busy) * passes["input"] / total if total else None


def _removable_fraction(row: TrialRow) -> float | None:
    passes = row.passes_ns or {}
    total = sum(passes.values())
    return sum(passes[name] for name in REMOVABLE) / total if total else None


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
