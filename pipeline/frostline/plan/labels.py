"""The labels of trials in the progress display. Pure."""

from __future__ import annotations

from collections.abc import Collection

from frostline.plan.trials import TrialPlan
from frostline.trial import AXES


def labels_of(plan: TrialPlan, done: Collection[str]) -> dict[str, str]:
    """A label for each trial that will run, as short as the trials can still be told apart."""
    several_models = len({group.model for group in plan.groups}) > 1
    settings = [group.setting for group in plan.groups]
    differing = [axis for axis in AXES if len({getattr(one, axis) for one in settings}) > 1]
    labels: dict[str, str] = {}
    for trial in plan.trials:
        if trial.trial_id in done:
            continue
        words = [
            trial.model.plain_name if several_models else "",
            trial.variant,
            trial.policy if not trial.is_control else f"control {trial.replicate + 1}",
            trial.setting.words(differing),
        ]
        labels[trial.trial_id] = " ".join(filter(None, words))
    return labels
