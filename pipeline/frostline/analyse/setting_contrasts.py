"""One training setting against another: throughput of the baselines, and what freezing gives.

In: the groups of a summary. Out: a contrast for every two groups of one model and kind of device
that differ in one axis only; the first value of an axis is what the others are held against. The
groups were measured one after the other and not in pairs, so a ratio counts as a difference only
where it is larger than both noise floors together. Numbers that were not measured are None. Pure.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from frostline.analyse.summary import GroupSummary
from frostline.store.trial_row import TrialRow
from frostline.trial import AXES, Setting
from frostline.words import axis_value, counted, rate, ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingContrast:
    """One value of an axis against another, everything else equal.

    Attributes:
        model: the model's name in the study.
        device_kind: what measured both.
        axis: the axis in which they differ.
        value, against: both settings.
        throughput, throughput_against: of the baselines, examples per second: medians over the
            controls; None where none was measured.
        is_clear: whether the throughputs differ by more than both noise floors together; None where
            a throughput or a floor is not known.
        best, best_against: the configuration measured under both that is fastest against its own
            baseline under `value`; None where there is none.
    """

    model: str
    device_kind: str | None
    axis: str
    value: Setting
    against: Setting
    throughput: float | None
    throughput_against: float | None
    is_clear: bool | None
    best: TrialRow | None
    best_against: TrialRow | None

    @property
    def ratio(self) -> float | None:
        """Throughput over that of the other."""
        if self.throughput is None or not self.throughput_against:
            return None
        return self.throughput / self.throughput_against

    @property
    def title(self) -> str:
        """`batch size 64 against 16`."""
        if self.axis == "batch_size":
            return f"batch size {self.value.batch_size} against {self.against.batch_size}"
        return (
            f"{_value_words(self.value, self.axis)} against {_value_words(self.against, self.axis)}"
        )

    @property
    def shared(self) -> str:
        """The model, and what both settings have in common, in words."""
        rest = self.value.words([axis for axis in AXES if axis != self.axis])
        return f"{self.model}, {rest}" if rest else self.model

    @property
    def words(self) -> str:
        """The contrast as sentences."""
        return " ".join(filter(None, (f"{self.title} ({self.shared}):", *self._sentences())))

    def _sentences(self) -> tuple[str, ...]:
        found = self.ratio
        if found is None or self.throughput is None or self.throughput_against is None:
            return ("no baseline was measured under both.",)
        rates = f"{rate(self.throughput)} against {rate(self.throughput_against)} examples/s"
        noise = " (within the noise of both)" if self.is_clear is False else ""
        said = [f"the baseline does {rates}, {ratio(found)}{noise}."]
        best, other = self.best, self.best_against
        if best is not None and other is not None:
            rates = ""
            if best.examples_per_second is not None and other.examples_per_second is not None:
                rates = (
                    f", {rate(best.examples_per_second)} against "
                    f"{rate(other.examples_per_second)} examples/s"
                )
            said.append(
                f"Freezing {best.policy} gives {ratio(best.speedup)} against "
                f"{ratio(other.speedup)} over the own baseline{rates}."
            )
        return tuple(said)


def setting_contrasts(groups: Sequence[GroupSummary]) -> tuple[SettingContrast, ...]:
    """Every contrast, in the order of the groups; several devices are held against one."""
    found = []
    ordered = sorted(groups, key=lambda group: group.key.setting.strategy != "single")
    for position, group in enumerate(ordered):
        seen: set[str] = set()
        for other in ordered[:position]:
            axis = _only_axis(group, other)
            if axis is not None and axis not in seen:
                seen.add(axis)
                found.append(_contrast(group, other, axis))
    return tuple(found)


def contrast_words(groups: Sequence[GroupSummary], most: int) -> tuple[str, ...]:
    """The first contrasts as sentences, and how many more there are."""
    found = setting_contrasts(groups)
    said = [contrast.words for contrast in found[:most]]
    more = len(found) - most
    return (
        *said,
        *([f"{counted(more, 'more comparison')} of settings in the report."] * (more > 0)),
    )


def _only_axis(group: GroupSummary, other: GroupSummary) -> str | None:
    if (group.key.model_key, group.device_kind) != (other.key.model_key, other.device_kind):
        return None
    here, there = group.key.setting, other.key.setting
    differing = [axis for axis in AXES if getattr(here, axis) != getattr(there, axis)]
    return differing[0] if len(differing) == 1 else None


def _contrast(group: GroupSummary, other: GroupSummary, axis: str) -> SettingContrast:
    here, there = _throughput(group), _throughput(other)
    floors = (group.noise_floor, other.noise_floor)
    is_clear = None
    if here is not None and there and None not in floors:
        is_clear = abs(here / there - 1) > sum(floor for floor in floors if floor is not None)
    best, best_other = _best_of_both(group, other)
    return SettingContrast(
        model=group.key.model_key,
        device_kind=group.device_kind,
        axis=axis,
        value=group.key.setting,
        against=other.key.setting,
        throughput=here,
        throughput_against=there,
        is_clear=is_clear,
        best=best,
        best_against=best_other,
    )


def _throughput(group: GroupSummary) -> float | None:
    rates = [row.examples_per_second for row in group.control_rows]
    known = [rate for rate in rates if rate is not None]
    return statistics.median(known) if known else None


def _best_of_both(
    group: GroupSummary, other: GroupSummary
) -> tuple[TrialRow, TrialRow] | tuple[None, None]:
    there = {row.frozen_variables: row for row in other.configurations}
    both = [row for row in group.configurations if row.frozen_variables in there]
    best = max(both, key=lambda row: row.speedup or 0.0, default=None)
    return (None, None) if best is None else (best, there[best.frozen_variables])


def _value_words(setting: Setting, axis: str) -> str:
    if axis == "strategy" and setting.strategy == "single":
        return "a single device"
    return setting.words([axis]) or axis_value(setting, axis)
