"""Answering `InspectModel`: build a model once and tell what planning needs to know of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline.measure.batches import first_batch
from pipeline.measure.build import build, strategy_for
from pipeline.measure.inspect_model import inspect
from pipeline.measure.messages import Inspected, InspectModel
from pipeline.measure.release import release_memory


def inspect_request(request: InspectModel, enter: Callable[[str], None]) -> Inspected:
    """Build the model under the request's setting and trace its forward pass.

    Raises:
        TrialError: the builder failed, or the model cannot be fed.
    """
    enter("build")
    started = time.perf_counter()
    with strategy_for(request.setting).scope():
        model, warnings = build(request.model, request.setting, seed=request.seed)
    build_s = time.perf_counter() - started
    batch = first_batch(model, request.model, request.setting, seed=request.seed)
    enter("trace")
    facts = inspect(
        model, request.model.name, batch[0], build_s=build_s, batch_size=request.setting.batch_size
    )
    del model, batch
    release_memory()
    return Inspected(facts=facts, warnings=warnings)
