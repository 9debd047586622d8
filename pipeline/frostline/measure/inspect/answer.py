"""The answer to `InspectModel`: builds a model once and reports what planning needs of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from frostline.facts.provenance import made_from
from frostline.measure.arm import Arm
from frostline.measure.batches import batches
from frostline.measure.build import build, strategy_for
from frostline.measure.inspect.files_read import Reads
from frostline.measure.inspect.training import inspect_training
from frostline.measure.memory_release import release_memory
from frostline.measure.messages import Inspected, InspectModel


def inspect_request(
    request: InspectModel, enter: Callable[[str], None], reads: Reads | None = None
) -> Inspected:
    """Build the model under the request's setting and trace its training step.

    `enter` is told the stages. `reads` has watched this process since before TensorFlow was
    imported; without it the facts do not record what they were made from.

    Raises:
        TrialError: the builder failed, or the model cannot be fed.
    """
    if reads is not None:
        reads.libraries_are_in()
    enter("build")
    started = time.perf_counter()
    # Layers and wiring are those of one replica.
    setting = replace(request.setting, strategy="single")

    def make() -> Arm:
        strategy = strategy_for(setting)
        model, _ = build(request.model, setting, seed=request.seed, strategy=strategy)
        feed = batches(model, request.model, setting, strategy, seed=request.seed)
        return Arm(model, feed, strategy)

    arm = make()
    build_s = time.perf_counter() - started
    enter("trace")
    facts = inspect_training(arm, make, request.model.name, build_s, setting.batch_size)
    del arm
    release_memory()
    if reads is not None:
        origin = made_from(
            request.model,
            request.setting,
            seed=request.seed,
            files=reads.files(log=Path(request.log_path)),
            libraries=reads.libraries(),
        )
        facts = replace(facts, made_from=origin)
    return Inspected(facts=facts)
