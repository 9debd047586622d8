"""What trials are called while they run. Pure."""

from __future__ import annotations

from collections.abc import Collection

from frostline.plan.trials import TrialPlan


def labels_of(plan: TrialPlan, done: Collection[str]) -> dict[str, str]:
    """How to call the trials that will run: no longer than it takes to tell them apart."""
    several_models = len({group.model for group in plan.groups}) > 1
    several_settings = len({group.setting for group in plan.groups}) > 1
    labels: dict[str, str] = {}
    for trial in plan.trials:
        if trial.trial_id in done:
            continue
        setting = trial.setting
        words = [
            trial.model.name if several_models else "",
            trial.policy if not trial.is_control else f"control {trial.replicate + 1}",
        ]
        if several_settings:
            words += [
                f"batch={setting.batch_size}",
                setting.optimizer or "",
                setting.precision,
                f"jit={setting.jit_compile}",
                setting.strategy,
            ]
        labels[trial.trial_id] = " ".join(filter(None, words))
    return labels
