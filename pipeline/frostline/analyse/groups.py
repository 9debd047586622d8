"""Trials that can be compared with each other, their noise floor, and what a speedup is worth.

In: rows of `trials`. Out: rows by model and training setting, the noise floor of each group, and a
verdict per trial. Refuses nothing: a trial without a speedup gets no verdict, and a group without a
measured control gets no noise floor.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from typing import Literal

from frostline.noise import control_noise
from frostline.store.trial_row import TrialRow
from frostline.trial import Setting
from frostline.variant import variant_key

Verdict = Literal["faster", "slower", "no measurable difference"]


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


def noise_floors(rows: Iterable[TrialRow]) -> dict[GroupKey, float | None]:
    """The noise floor of every group, over all controls of its plain model."""
    groups = group_rows(rows)
    return {key: noise_floor(groups.get(key.plain, ())) for key in groups}


def controls_of(rows: Iterable[TrialRow], key: GroupKey) -> tuple[TrialRow, ...]:
    """The controls that a group is held against: those of its plain model."""
    return tuple(row for row in rows if row.is_control and GroupKey.of(row) == key.plain)


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
