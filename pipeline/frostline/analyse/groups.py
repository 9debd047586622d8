"""Trials that can be compared with each other, their noise floor, and what a speedup is worth.

In: rows of `trials`. Out: rows by model and training setting, the noise floor of each group, and a
verdict per trial. Refuses nothing: a trial without a speedup gets no verdict, and a group without a
measured control gets no noise floor.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Literal

from frostline.noise import control_noise
from frostline.store.trial_row import TrialRow
from frostline.trial import Setting
from frostline.variant import variant_key

Verdict = Literal["faster", "slower", "no measurable difference"]

UNUSABLE = 0.25
"""The noise floor from which on a sweep is called too noisy to read: no speedup up to 1.25x can be
told from none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKey:
    """A model, or a variant of it, under one training setting.

    Keys are ordered by model, then by setting, the compiled model's own optimizer first, then by
    variant, the plain model first.

    Attributes:
        model: the model's name in the study.
        setting: the training setting.
        variant: the variant's name; None for the plain model.
    """

    model: str
    setting: Setting
    variant: str | None = None

    @staticmethod
    def of(row: TrialRow) -> GroupKey:
        """The group of a row."""
        return GroupKey(model=row.model, setting=row.setting, variant=row.variant)

    @property
    def plain(self) -> GroupKey:
        """The plain model's group, whose baseline and controls its variants share."""
        return replace(self, variant=None)

    @property
    def model_key(self) -> str:
        """The name of the model, or of its variant, among facts."""
        return variant_key(self.model, self.variant)

    def __lt__(self, other: GroupKey) -> bool:
        return self._order < other._order

    @property
    def _order(self) -> tuple[object, ...]:
        axes = (value or "" for value in astuple(self.setting))
        return self.model, *axes, self.variant or ""

    @property
    def label(self) -> str:
        """The group in words: `vgg16, batch size 16, adam, float32, jit_compile auto`."""
        variant = "" if self.variant is None else f" variant {self.variant}"
        return f"{self.model}{variant}, {self.setting.words()}"


def group_rows(rows: Iterable[TrialRow]) -> dict[GroupKey, list[TrialRow]]:
    """Rows by group, groups ascending, rows in the order given."""
    groups: dict[GroupKey, list[TrialRow]] = {}
    for row in rows:
        groups.setdefault(GroupKey.of(row), []).append(row)
    return dict(sorted(groups.items()))


def noise_floor(rows: Iterable[TrialRow]) -> float | None:
    """The smallest difference that this group's measurements can show, as a ratio.

    The largest, over the measured controls among the rows of a group, of |speedup - 1| and the
    half-width of the speedup's interval. A control is a copy of the baseline, so its differences
    are noise.

    Returns:
        Dimensionless (0.02: differences up to 2% are noise); None without a measured control.
    """
    floor = None
    for row in rows:
        if row.is_control and row.speedup is not None:
            noise = control_noise(row.speedup, row.speedup_low, row.speedup_high)
            floor = noise if floor is None else max(floor, noise)
    return floor


QUIETER = (
    "Run the study again on a new OUT, on a machine without other work, or with a larger batch, "
    "whose steps take longer."
)
"""What to do about a sweep that is too noisy to read."""


def is_unusable(floor: float | None) -> bool:
    """Whether a noise floor is so large that the sweep cannot be read."""
    return floor is not None and floor >= UNUSABLE


def controls_of(rows: Iterable[TrialRow], key: GroupKey) -> tuple[TrialRow, ...]:
    """The controls of a group's plain model, on every kind of device."""
    return tuple(row for row in rows if row.is_control and GroupKey.of(row) == key.plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialGroup:
    """The trials of one model under one training setting on one kind of device.

    Attributes:
        key: which model and setting.
        device_kind: device that measured it; None where no trial came that far.
        other_kinds: of device that measured the same setting.
        title: all of that in words; the device only where the setting was measured on several.
        rows: its trials, failed ones included.
        controls: the measured controls that it is held against, those of its plain model.
    """

    key: GroupKey
    device_kind: str | None
    other_kinds: tuple[str, ...]
    title: str
    rows: tuple[TrialRow, ...]
    controls: tuple[TrialRow, ...]

    @property
    def noise_floor(self) -> float | None:
        """See `noise_floor`."""
        return noise_floor(self.controls)

    @property
    def baseline_steps_ns(self) -> tuple[int, ...]:
        """Step times of the baseline, as measured beside each trial."""
        return tuple(row.baseline_step_ns for row in self.rows if row.baseline_step_ns is not None)

    @property
    def baseline_step_ns(self) -> int | None:
        """Their median; None when nothing was measured."""
        steps = self.baseline_steps_ns
        return round(statistics.median(steps)) if steps else None


def trial_groups(rows: Iterable[TrialRow]) -> tuple[TrialGroup, ...]:
    """Trials by model, variant, setting and kind of device, ascending."""
    rows = list(rows)
    return tuple(
        TrialGroup(
            key=key,
            device_kind=kind,
            other_kinds=tuple(other for other in kinds if other is not None and other != kind),
            title=f"{key.label}, on {kind}" if len(kinds) > 1 else key.label,
            rows=tuple(group),
            controls=tuple(
                row
                for row in controls_of(rows, key)
                if row.speedup is not None and (row.device_kind or kind) == kind
            ),
        )
        for key, setting in group_rows(rows).items()
        for kinds in [_by_device_kind(setting)]
        for kind, group in kinds.items()
    )


def group_of(rows: Iterable[TrialRow], trial: TrialRow) -> TrialGroup:
    """The one group that a trial, which is among the rows, belongs to."""
    return next(
        group
        for group in trial_groups(rows)
        if any(row.trial_id == trial.trial_id for row in group.rows)
    )


def noise_floors(rows: Iterable[TrialRow]) -> dict[str, float | None]:
    """By `trial_id`, the noise floor that each trial is held against: that of its group."""
    return {row.trial_id: group.noise_floor for group in trial_groups(rows) for row in group.rows}


def _by_device_kind(rows: Sequence[TrialRow]) -> dict[str | None, list[TrialRow]]:
    """Rows by device kind, ascending; trials that failed before they had one go with the first."""
    kinds: list[str | None] = [*sorted({row.device_kind for row in rows if row.device_kind})]
    first = kinds[0] if kinds else None
    found: dict[str | None, list[TrialRow]] = {kind: [] for kind in kinds or [None]}
    for row in rows:
        found[row.device_kind or first].append(row)
    return found


def verdict(row: TrialRow, floor: float | None) -> Verdict | None:
    """What a trial's speedup is worth.

    Args:
        row: the trial.
        floor: noise floor of its group; None when no control was measured, in which case the
            interval alone decides.

    Returns:
        `no measurable difference` when the speedup lies within the noise floor or its interval
        contains 1; None for a trial without a speedup.
    """
    if row.speedup is None:
        return None
    within_floor = floor is not None and abs(row.speedup - 1) <= floor
    if row.speedup_low is None or row.speedup_high is None:
        contains_one = floor is None  # neither an interval nor a floor: nothing supports it
    else:
        contains_one = row.speedup_low <= 1 <= row.speedup_high
    if within_floor or contains_one:
        return "no measurable difference"
    return "faster" if row.speedup > 1 else "slower"
