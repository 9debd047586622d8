"""The answer to `InspectModel`: builds a model once and reports what planning needs of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from frostline.errors import TrialError
from frostline.facts.model_facts import ModelFacts
from frostline.facts.provenance import made_from
from frostline.measure.arm import Arm
from frostline.measure.batches import Feed, feed, first_batch
from frostline.measure.build import build, returned_dataset
from frostline.measure.eager import why_eager
from frostline.measure.inspect.files_read import Reads
from frostline.measure.inspect.rehearsal import rehearse
from frostline.measure.inspect.training import inspect_training
from frostline.measure.memory_release import release_memory
from frostline.measure.messages import Inspected, InspectModel
from frostline.measure.precision import own_precision
from frostline.measure.synthetic import assumed, needs_data
from frostline.trial import ModelSpec, Setting

Enter = Callable[[str], None]


def inspect_request(request: InspectModel, enter: Enter, reads: Reads | None = None) -> Inspected:
    """Build the model under the request's setting, trace its training step and rehearse it.

    All of it happens on one replica: strategies change neither layers nor wiring. `enter` is told
    the stages. `reads` has watched this process since before TensorFlow was imported; without it
    the facts do not record what they were made from.

    Raises:
        TrialError: the builder failed, or the model cannot be fed or trained.
    """
    if reads is not None:
        reads.libraries_are_in()
    setting = replace(request.setting, strategy="single")
    facts = _inspected(request.model, setting, request.seed, enter)
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


def _inspected(spec: ModelSpec, setting: Setting, seed: int, enter: Enter) -> ModelFacts:
    enter("build")
    started = time.perf_counter()
    strategy = tf.distribute.get_strategy()
    model, _ = build(spec, setting, seed=seed)
    build_s = time.perf_counter() - started
    precision = own_precision(model, setting.precision)
    eager, asked_eagerly = why_eager(model, spec), bool(model.run_eagerly)
    is_synthetic = spec.data is None and returned_dataset(model) is None
    batch = first_batch(model, spec, setting, seed=seed)
    known = Feed(batches=iter(()), synthetic=batch) if is_synthetic else None

    def arm_of(model: keras.Model) -> Arm:
        found = feed(model, spec, setting, strategy, seed=seed, known=known, counted=False)
        return Arm(model, found.batches, strategy, variant=spec.variant)

    def make() -> Arm:
        return arm_of(build(spec, setting, seed=seed)[0])

    enter("trace")
    try:
        facts = inspect_training(arm_of(model), make, spec.name, build_s, setting.batch_size)
        if asked_eagerly:  # the inspection traces all the same
            model.run_eagerly = True
        rehearse(model, batch, source=None if is_synthetic else _source(spec))
    except TrialError as error:
        if not is_synthetic or error.stage not in ("trace", "rehearse"):
            raise
        if _may_take_inputs_alone(model, spec):
            return _of_inputs_alone(spec, setting, seed, enter, error)
        raise _not_guessed(error) from error
    assumption = assumed(model) if is_synthetic else None
    told = (each for each in (eager, assumption) if each is not None)
    facts = replace(facts, facts_warnings=(*facts.facts_warnings, *told))
    return replace(facts, own_precision=precision, inputs_alone=spec.inputs_alone)


def _source(spec: ModelSpec) -> str:
    return f"`data` ({spec.data})" if spec.data else f"the dataset of {spec.builder}"


def _may_take_inputs_alone(model: keras.Model, spec: ModelSpec) -> bool:
    """Whether a train step of the model's own has not been given inputs without targets yet."""
    return not spec.inputs_alone and type(model).train_step is not keras.Model.train_step


def _of_inputs_alone(
    spec: ModelSpec, setting: Setting, seed: int, enter: Enter, first: TrialError
) -> ModelFacts:
    """Facts of a model whose train step takes no targets; of both errors the first is told."""
    try:
        return _inspected(replace(spec, inputs_alone=True), setting, seed, enter)
    except TrialError:
        raise _not_guessed(first) from first


def _not_guessed(error: Any) -> TrialError:
    return needs_data(
        f"a training step fails on synthetic batches ({error}); if `fit` works on your own, the "
        "model needs those"
    )
