"""Batches for a model: the study's own dataset, or synthetic ones resident on the device.

Batches of a dataset may differ in shape: its last one is shorter where `drop_remainder` is not set,
and padded or bucketed batches are as long as what is in them. Steps then differ too, and only whole
cycles of the dataset can be compared. So a feed says after how many batches it begins again, and
how many examples these hold. Refuses (TrialError, stage `build`) what `frostline.measure.synthetic`
refuses, and a `data` callable that returns no dataset or an empty one.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import tensorflow as tf

from frostline.errors import TrialError
from frostline.measure.arm import LONGEST_CYCLE
from frostline.measure.build import A_DATASET, dataset_of, full_name, returned_dataset
from frostline.measure.memory_release import kept
from frostline.measure.synthetic import synthetic_batch
from frostline.measure.user_modules import load_callable, user_code
from frostline.trial import ModelSpec, Setting

_MOST_COUNTING_S = 20.0
"""Seconds in which the batches of a dataset are looked through to find its cycle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """Batches, as `train_function` takes them.

    Attributes:
        batches: without end.
        cycle: batches after which their shapes repeat; 1 where all are alike.
        examples_per_batch: mean over a cycle; None where that is not known.
        synthetic: the batch, where it is always the same synthetic one; as a step takes it.
        warnings: what the user should know of them.
    """

    batches: Iterator[Any]
    cycle: int = 1
    examples_per_batch: float | None = None
    synthetic: Any = None
    warnings: tuple[str, ...] = ()


def feed(
    model: keras.Model,
    spec: ModelSpec,
    setting: Setting,
    strategy: tf.distribute.Strategy,
    *,
    seed: int,
    known: Feed | None = None,
    counted: bool = True,
) -> Feed:
    """The batches of a model under a setting.

    With a `data` callable the input pipeline runs in every step, as in `fit`; synthetic batches
    cost nothing per step.

    Args:
        model: compiled.
        spec: its entry in the study.
        setting: what it was built under.
        strategy: where the batches go.
        seed: of synthetic batches.
        known: an earlier feed of the same, which saves finding it out again.
        counted: False where one batch is enough: nothing is found out about a dataset's cycle.

    Raises:
        TrialError: there is no dataset, or what to feed is not known.
    """
    dataset = users_dataset(model, spec, setting.batch_size)
    if dataset is not None:
        shapes = known or (_shapes(dataset) if counted else Feed(batches=iter(())))
        return replace(shapes, batches=_distributed(strategy, dataset.repeat()))
    batch = None if known is None else known.synthetic
    if batch is None:
        batch = _synthetic(model, spec, setting, seed)
    endless: Iterator[Any] = itertools.repeat(batch)
    if setting.strategy != "single" or model.steps_per_execution > 1:
        # tf.data takes a list for a tensor; a model takes a tuple wherever it takes a list.
        resident = tf.data.Dataset.from_tensors(_tuples(batch)).repeat()
        endless = _distributed(strategy, resident)
    return Feed(batches=endless, examples_per_batch=float(setting.batch_size), synthetic=batch)


def first_batch(model: keras.Model, spec: ModelSpec, setting: Setting, *, seed: int) -> Any:
    """One batch as a training step takes it: mostly `(x, y)` or `(x, y, sample_weight)`.

    Raises:
        TrialError: as `feed`; or the dataset is empty.
    """
    dataset = users_dataset(model, spec, setting.batch_size)
    if dataset is None:
        return _synthetic(model, spec, setting, seed)
    source = f"data {spec.data!r}" if spec.data else f"builder {spec.builder!r}"
    with user_code(source):
        batch = next(iter(dataset), None)
    if batch is None:
        raise TrialError("build", "NoBatch", f"{source} returned an empty dataset")
    return batch


def users_dataset(model: keras.Model, spec: ModelSpec, batch_size: int) -> tf.data.Dataset | None:
    """What the `data` callable of a model's entry returns, else what the builder returned.

    None where there is neither.

    Raises:
        TrialError: it raised, or returned no dataset.
    """
    if spec.data is None:
        return returned_dataset(model)
    path = spec.data
    make = load_callable(path, spec.search_path, "data")
    with user_code(f"data {path!r}"):
        given = make(model, batch_size)
        dataset = dataset_of(given)
    if dataset is None:
        raise TrialError(
            "build",
            "NotADataset",
            f"data {path!r} returned {full_name(given)}; return {A_DATASET}",
        )
    return dataset


def _synthetic(model: keras.Model, spec: ModelSpec, setting: Setting, seed: int) -> Any:
    x, y = synthetic_batch(model, setting.batch_size, seed=seed)
    if not spec.inputs_alone:
        return x, y
    return (x,) if isinstance(x, list | tuple) else x  # as `fit` gives inputs without targets


def rows_of(value: Any) -> int | None:
    """Examples in a batch: the size of its first dimension; None where it has none."""
    for component in tf.nest.flatten(value):
        if isinstance(component, tf.RaggedTensor):
            return int(component.nrows())
        if isinstance(component, tf.SparseTensor):
            return int(component.dense_shape[0])
        if component.shape.rank:
            return int(tf.shape(component)[0])
    return None


def _shapes(dataset: tf.data.Dataset) -> Feed:
    """What a dataset says of its cycle; an empty one of batches."""
    fixed = all(
        isinstance(spec, tf.TensorSpec) and spec.shape.is_fully_defined()
        for spec in tf.nest.flatten(dataset.element_spec)
    )
    if fixed:
        first = tf.nest.flatten(dataset.element_spec)[0].shape
        examples = float(first[0]) if first.rank else None
        return Feed(batches=iter(()), examples_per_batch=examples)
    seen: list[tuple[Any, ...]] = []
    rows: list[int | None] = []
    ended, deadline = True, time.monotonic() + _MOST_COUNTING_S
    for batch in dataset:
        if len(seen) == LONGEST_CYCLE or time.monotonic() > deadline:
            ended = False
            break
        seen.append(tuple(_size(part) for part in tf.nest.flatten(batch)))
        rows.append(rows_of(batch))
    counted = [each for each in rows if each is not None]
    mean = math.fsum(counted) / len(counted) if counted and len(counted) == len(rows) else None
    if len(set(seen)) <= 1:
        return Feed(batches=iter(()), examples_per_batch=mean)
    if not ended:
        warning = (
            f"the dataset's batches differ in shape, and it is longer than {len(seen)} batches: "
            "steps are timed as they come, examples per second counted from its first batches"
        )
        return Feed(batches=iter(()), examples_per_batch=mean, warnings=(warning,))
    total = "" if mean is None else f" with {sum(counted)} examples"
    warning = (
        f"the dataset's batches differ in shape: timed by whole cycles of its {len(seen)} batches"
        f"{total} (`drop_remainder=True` in `batch` makes all batches alike)"
    )
    return Feed(batches=iter(()), cycle=len(seen), examples_per_batch=mean, warnings=(warning,))


def _size(value: Any) -> tuple[int, ...]:
    """What decides how much there is to compute in a component of a batch."""
    if isinstance(value, tf.RaggedTensor):
        return (int(value.nrows()), int(tf.size(value.flat_values)))
    if isinstance(value, tf.SparseTensor):
        return tuple(int(size) for size in value.dense_shape)
    return tuple(int(size) for size in value.shape)


def _tuples(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def _distributed(strategy: tf.distribute.Strategy, dataset: tf.data.Dataset) -> Iterator[Any]:
    if isinstance(strategy, tf.distribute.MirroredStrategy):
        return kept(iter(strategy.experimental_distribute_dataset(dataset)))
    return iter(dataset)
