"""What trials are called while they run. Pure."""

from __future__ import annotations

from collections.abc import Collection

from frostline.plan.trials import TrialPlan
from frostline.trial import AXES


def labels_of(plan: TrialPlan, done: Collection[str]) -> dict[str, str]:
    """How to call the trials that will run: no longer than it takes to tell them apart."""
    several_models = len({group.model for group in plan.groups}) > 1
    settings = [group.setting for group in plan.groups]
    differing = [axis for axis in AXES if len({getattr(one, axis) for one in settings}) > 1]
    labels: dict[str, str] = {}
    for trial in plan.trials:
        if trial.trial_id in done:
            continue
        words = [
            trial.model.name if several_models else "",
            trial.policy if not trial.is_control else f"control {trial.replicate + 1}",
            trial.setting.words(differing),
        ]
        labels[trial.trial_id] = " ".join(filter(None, words))
    return labels
