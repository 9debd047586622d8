"""Which anchors are measured once more, because the machine was slow while they were. Pure.

Predictions rest on the anchors, and a machine that others use, or that heats up, can be half as
fast for a while. A speedup is a ratio to a baseline measured side by side and survives that where
every op is slowed alike, which is never quite so. The step of a trial's own baseline tells: the
same work, measured beside every trial of a group.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from statistics import median

from frostline.results.outcome import Beside, TrialOutcome
from frostline.trial import ModelSpec, Setting, Trial

Group = tuple[ModelSpec, Setting]
"""What has baselines and controls in common: a model, its variants included, and a setting."""

SLOW = 1.25
"""An anchor is measured again where its baseline took so many times what it usually took; drifts of
20% are usual on shared machines."""

_FEWEST = 4


def group_of(trial: Trial) -> Group:
    """The group of a trial."""
    return trial.model.plain, trial.setting


class SlowAnchors:
    """Watches the baselines of a drive.

    Attributes:
        again: the baselines of the anchors that are measured again, by `trial_id`.
    """

    def __init__(self, beside: Mapping[Group, Mapping[str, Beside]]) -> None:
        """Begin with the baselines, by `trial_id`, of what earlier runs have committed."""
        self.again: dict[str, Beside] = {}
        self._beside = {group: dict(known) for group, known in beside.items()}
        self._anchors: list[Trial] = []
        self._picked = False

    def hear(self, trial: Trial, outcome: TrialOutcome) -> None:
        """Take note of a trial that was measured for the first time in this drive."""
        if outcome.beside is None:
            return
        self._beside.setdefault(group_of(trial), {})[trial.trial_id] = outcome.beside
        if trial.anchor is not None and not trial.is_control:
            self._anchors.append(trial)

    def pick(self, attempts: Mapping[str, int], *, most: int) -> list[tuple[str, list[Trial]]]:
        """The anchors to measure again, group by group, each with what to tell the user.

        Nothing the second time.

        Args:
            attempts: starts by trial.
            most: starts that a trial may have.
        """
        if self._picked:
            return []
        self._picked = True
        slow: dict[Group, list[tuple[Trial, float]]] = defaultdict(list)
        for trial in self._anchors:
            known = self._beside[group_of(trial)]
            own = known[trial.trial_id]
            alike = [each.step_ns for each in known.values() if each.device_kind == own.device_kind]
            times = own.step_ns / median(alike)
            if len(alike) < _FEWEST or times <= SLOW or attempts[trial.trial_id] >= most:
                continue
            self.again[trial.trial_id] = own
            slow[group_of(trial)].append((trial, times))
        return [(_said(found), [trial for trial, _ in found]) for found in slow.values()]


def _said(found: list[tuple[Trial, float]]) -> str:
    first = found[0][0]
    names = ", ".join(trial.policy for trial, _ in found)
    longest = max(times for _, times in found)
    one = len(found) == 1
    was, them, they = ("was", "it", "it is") if one else ("were", "them", "they are")
    return (
        f"{first.model.plain_name}, {first.setting.words()}: the machine was slow while {names} "
        f"{was} measured (the baseline took {longest:.2f} times what it usually took), and "
        f"predictions rest on {them}: {they} measured again"
    )
