"""Asking for the facts of models, in a child process: the caller never imports TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from frostline.facts.model_facts import ModelFacts
from frostline.measure.client import DeadlineExceeded, MeasureProcess, ProcessDied
from frostline.measure.messages import Failed, Inspected, InspectModel
from frostline.trial import ModelSpec, Setting


def inspect_models(
    models: Sequence[ModelSpec],
    setting: Setting,
    *,
    seed: int,
    deadline_s: float,
    log_folder: Path | None = None,
) -> dict[str, ModelFacts | Failed]:
    """Build each model once and return what planning needs.

    Args:
        models: the study's models.
        setting: the setting they are built under; layers and wiring are the same in all.
        seed: the study's seed.
        deadline_s: limit for each model, in seconds.
        log_folder: where the process's output goes, one file a model; None throws it away.

    Returns:
        By model name, in order: its facts, or why they could not be had.
    """
    found: dict[str, ModelFacts | Failed] = {}
    with TemporaryDirectory(prefix="frostline-") as scratch:
        logs = log_folder or Path(scratch)
        process: MeasureProcess | None = None
        try:
            for model in models:
                log = logs / f"inspect-{model.name}.log"
                if process is None:
                    process = MeasureProcess(cores=(), gpu_ids="", log_path=log)
                request = InspectModel(model=model, setting=setting, seed=seed, log_path=str(log))
                found[model.name], alive = _inspect(process, request, deadline_s)
                if not alive:
                    process = None
        finally:
            if process is not None:
                process.close()
    return found


def _inspect(
    process: MeasureProcess, request: InspectModel, deadline_s: float
) -> tuple[ModelFacts | Failed, bool]:
    """One model's facts or failure, and whether the process can take another."""
    try:
        reply = process.reply_to(request, deadline_s=deadline_s)
    except ProcessDied as error:
        return Failed(stage=error.stage, kind="ProcessDied", message=str(error)), False
    except DeadlineExceeded as error:
        return Failed(stage=error.stage, kind="Timeout", message=str(error)), False
    if isinstance(reply, Inspected):
        return reply.facts, True
    if isinstance(reply, Failed):
        return reply, not reply.fatal
    message = f"unexpected answer {reply.op!r} to an inspection"
    return Failed(stage="build", kind="Protocol", message=message), False
