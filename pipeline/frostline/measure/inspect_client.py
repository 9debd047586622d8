"""Asking for the facts of models, in a child process: the caller never imports TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from frostline.errors import StudyError
from frostline.facts.model_facts import ModelFacts
from frostline.measure.backend import refuse_other_backends
from frostline.measure.client import DeadlineExceeded, MeasureProcess, ProcessDied
from frostline.measure.messages import Failed, Inspected, InspectModel
from frostline.scratch import scratch_folder
from frostline.trial import ModelSpec, Setting

_MOST_DEATHS = 2
"""A process may be killed for reasons of its own once: the next one is asked again."""


def inspect_models(
    models: Sequence[ModelSpec],
    setting: Setting,
    *,
    seed: int,
    deadline_s: float,
    log_folder: Path | None = None,
) -> dict[str, ModelFacts | Failed]:
    """Build each model once: by name, in order, its facts, or why it could not be inspected.

    One setting is enough: layers and wiring are the same in all. Each model may take `deadline_s`
    seconds. The process's output goes to `log_folder`, one file per model; None discards it.

    Raises:
        UsageError: Keras is told to use another backend than TensorFlow.
    """
    refuse_other_backends()
    found: dict[str, ModelFacts | Failed] = {}
    with scratch_folder(prefix="frostline-inspect-") as scratch:
        logs = log_folder or scratch
        process: MeasureProcess | None = None
        try:
            for model in models:
                log = logs / f"inspect-{model.name}.log"
                request = InspectModel(model=model, setting=setting, seed=seed, log_path=str(log))
                deaths = 0
                while model.name not in found:
                    process = process or MeasureProcess(cores=(), gpu_ids="", log_path=log)
                    try:
                        found[model.name], alive = _inspect(process, request, deadline_s)
                    except ProcessDied as death:
                        alive, deaths = False, deaths + 1
                        if deaths == _MOST_DEATHS:
                            found[model.name] = _gone(death, deaths)
                    process = process if alive else None
        finally:
            if process is not None:
                process.close()
    return found


def refuse_impossible_variants(found: Mapping[str, ModelFacts | Failed]) -> None:
    """Raise where the study asks for a variant that Keras cannot make of its model.

    Raises:
        StudyError: names the variants, and the layers that stand in the way.
    """
    refused = [
        f"variant `{name}`: {each.message}"
        for name, each in found.items()
        if isinstance(each, Failed) and each.kind == "CannotVary"
    ]
    if refused:
        raise StudyError("\n".join(refused))


def _gone(death: ProcessDied, deaths: int) -> Failed:
    message = (
        f"{death}; {deaths} processes died building the model. If memory is short, lower batch_size"
    )
    return Failed(stage=death.stage, kind="ProcessDied", message=message)


def _inspect(
    process: MeasureProcess, request: InspectModel, deadline_s: float
) -> tuple[ModelFacts | Failed, bool]:
    """One model's facts or failure, and whether the process can take another.

    Raises:
        ProcessDied: it did not live to answer; nothing is known of the model.
    """
    try:
        reply = process.reply_to(request, deadline_s=deadline_s)
    except DeadlineExceeded as error:
        return Failed(stage=error.stage, kind="Timeout", message=str(error)), False
    if isinstance(reply, Inspected):
        return reply.facts, True
    if isinstance(reply, Failed):
        return reply, not reply.fatal
    message = f"unexpected answer {reply.op!r} to an inspection"
    return Failed(stage="build", kind="Protocol", message=message), False
