"""Models that could not be built: each becomes failed rows, and the other models go on.

In: the study, the model and why it failed. Out: one control per setting, as a `Trial` that never
ran, and its rows. Such a trial's layers are unknown, so its id says `unbuilt`; the trial is removed
once the model can be built.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from frostline.digest import DIGITS, digest_of
from frostline.measure.messages import Failed
from frostline.results.commit import commit, log_path
from frostline.results.rows import Failure, TrialRun
from frostline.store.outdir import OutDir
from frostline.store.table_files import table_file
from frostline.study.study import Study
from frostline.tensorboard.events import events_path
from frostline.trial import ModelSpec, Trial


def unbuilt_trials(study: Study, model: ModelSpec) -> tuple[Trial, ...]:
    """The trials that stand for a model whose layers are not known: a control for each setting."""
    slug = re.sub(r"[^a-z0-9]+", "-", model.name.lower()).strip("-")[:40] or "model"
    trials = []
    for setting in study.settings():
        digest = digest_of([model.identity, asdict(setting)], spaced=True)[:DIGITS]
        trials.append(
            Trial(
                trial_id=f"{slug}-unbuilt-{digest}",
                study=study.name,
                model=model,
                setting=setting,
                policy="none",
                aliases=(),
                frozen_layers=(),
                frozen_variables=(),
                frozen_params=0,
                total_params=0,
                earliest_trainable_layer=0,
                is_control=model.variant is None,
                replicate=0,
                anchor=None,
            )
        )
    return tuple(trials)


def settle_unbuilt(out: OutDir, study: Study, failed: Mapping[str, Failed], logs: Path) -> None:
    """Commit the failed rows of models that could not be built; withdraw those that now can be.

    Args:
        out: where.
        study: the study.
        failed: why, by model.
        logs: a folder with what the builders printed, `inspect-<model>.log`, where there is any.
    """
    stale: list[Trial] = []
    for model in study.model_specs():
        trials = unbuilt_trials(study, model)
        if model.name not in failed:
            stale += trials
            continue
        for trial in trials:
            _publish(out, trial, failed[model.name], logs / f"inspect-{model.name}.log")
    with out.files.batch() as batch:
        for trial in stale:
            batch.remove(events_path(trial.trial_id))
            batch.remove(log_path(trial.trial_id))
            batch.remove(table_file("trials", trial.trial_id))


def _publish(out: OutDir, trial: Trial, failed: Failed, log: Path) -> None:
    run = TrialRun(
        trial=trial,
        facts=None,
        attempts=1,
        started_at=datetime.now(UTC),
        duration_s=0.0,
        failure=Failure(stage=failed.stage, kind=failed.kind, message=failed.message),
    )
    commit(out, run, log=log)
