"""The answer to `InspectModel`: builds a model once and reports what planning needs of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from frostline.facts.provenance import made_from
from frostline.measure.batches import first_batch, rows_of
from frostline.measure.build import build
from frostline.measure.eager import why_eager
from frostline.measure.inspect.files_read import Reads
from frostline.measure.inspect.model import inspect
from frostline.measure.inspect.rehearsal import rehearse
from frostline.measure.memory_release import release_memory
from frostline.measure.messages import Inspected, InspectModel
from frostline.measure.precision import own_precision


def inspect_request(
    request: InspectModel, enter: Callable[[str], None], reads: Reads | None = None
) -> Inspected:
    """Build the model under the request's setting, trace its forward pass and train one step.

    All on this process's device: strategies change neither layers nor wiring.

    `enter` is told the stages. `reads` has watched this process since before TensorFlow was
    imported; without it the facts do not record what they were made from.

    Raises:
        TrialError: the builder failed, or the model cannot be fed or trained.
    """
    if reads is not None:
        reads.libraries_are_in()
    enter("build")
    started = time.perf_counter()
    setting = replace(request.setting, strategy="single")
    model, _ = build(request.model, setting, seed=request.seed)
    build_s = time.perf_counter() - started
    precision = own_precision(model, setting.precision)
    eager = why_eager(model, request.model)
    batch = first_batch(model, request.model, setting, seed=request.seed)
    enter("trace")
    examples = rows_of(batch[0]) or setting.batch_size
    facts = inspect(
        model,
        request.model.name,
        batch[0],
        build_s=build_s,
        batch_size=examples,
        own_precision=precision,
    )
    if eager is not None:
        facts = replace(facts, facts_warnings=(*facts.facts_warnings, eager))
    taken = rehearse(model, request.model, batch)
    facts = replace(facts, inputs_alone=len(taken) < len(batch))
    del model, batch
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
