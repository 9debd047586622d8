"""From a study's model entry to a compiled Keras model, the same at each call.

In: the model spec and the training setting. Out: the model, compiled as `fit` would find it, with
everything trainable that its builder left trainable. A builder may return its dataset beside the
model, as `(model, dataset)`. Refuses (TrialError, stage `build`): a builder that cannot be found or
raises, one that returns no `keras.Model`, a model that was never built.
"""

from __future__ import annotations

import json
import os
import weakref
from typing import Any

import keras
import tensorflow as tf
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

from frostline.errors import TrialError
from frostline.measure.called_with import remembered_calls
from frostline.measure.fresh_state import fresh_state, outlasting_clears, reseed
from frostline.measure.fresh_step import forget_traces
from frostline.measure.short_error import short_error
from frostline.measure.user_modules import anew_where_shared, load_builder, user_code
from frostline.measure.variants import refuse_unwrappable, remat_scope
from frostline.optimizers import taken_apart
from frostline.trial import ModelSpec, Setting

DEFAULT_OPTIMIZER = "adam"
_NOT_IN_CONFIG = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")
"""What `exclude_from_weight_decay` sets."""
A_DATASET = (
    "a tf.data.Dataset (arrays: tf.data.Dataset.from_tensor_slices((x, y)).batch(batch_size)) or a "
    "keras.utils.PyDataset"
)

_datasets: weakref.WeakKeyDictionary[keras.Model, tf.data.Dataset] = weakref.WeakKeyDictionary()


def strategy_for(setting: Setting) -> tf.distribute.Strategy:
    """The distribution strategy of a setting; the default one for `single`."""
    if setting.strategy == "mirrored":
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def build(
    spec: ModelSpec, setting: Setting, *, seed: int, strategy: tf.distribute.Strategy | None = None
) -> tuple[keras.Model, tuple[str, ...]]:
    """Build and compile a model under a strategy; call it outside of any strategy's scope.

    Names and initial weights are the same at each call with the same arguments: Keras's name
    counters and random seeds are reset first, which breaks every scope that is open. Without a
    strategy, `strategy_for` the setting is made here.

    Returns:
        The compiled model and warnings about what the study left open.

    Raises:
        TrialError: the builder failed or gave something that cannot be trained.
    """
    strategy = strategy or strategy_for(setting)

    def call() -> Any:
        return _called(spec, spec.called_under or setting.precision, seed, strategy)

    model, dataset = _with_dataset(anew_where_shared(call, spec.builder, spec.search_path))
    with strategy.scope():
        _refuse_other_backend(spec)
        if not isinstance(model, keras.Model):
            raise _not_a_model(model, spec)
        refuse_unwrappable(model, spec.variant)
        fed = spec.data is not None or dataset is not None
        if not model.built and isinstance(model, keras.Sequential) and not (fed and model.compiled):
            raise TrialError(
                "build",
                "NotBuilt",
                f"builder {spec.builder!r} returned a Sequential model without an input shape; "
                "start it with keras.Input(shape), or compile it and give the model entry `data`",
            )
        if dataset is not None:
            _datasets[model] = dataset
        return model, _compile(model, spec, setting)


def _called(spec: ModelSpec, precision: str, seed: int, strategy: tf.distribute.Strategy) -> Any:
    """What the builder returns, called as in a new process."""
    fresh_state(seed=seed)
    with strategy.scope():
        builder = load_builder(spec.builder, spec.search_path, precision=precision)
        reseed(seed)  # the import may have drawn
        kwargs = json.loads(spec.kwargs_json)
        if spec.builder.startswith("keras."):
            kwargs = {name: _keras_argument(name, value) for name, value in kwargs.items()}
        # A `tf.function` of the module has made its variables for the last model.
        forget_traces(getattr(builder, "__globals__", {}).values())
        with (
            user_code(spec.builder),
            remat_scope(spec.variant),
            remembered_calls(),
            outlasting_clears(precision),
        ):
            return builder(**kwargs)


def returned_dataset(model: keras.Model) -> tf.data.Dataset | None:
    """The dataset that a builder returned beside the model, as `(model, dataset)`."""
    return _datasets.get(model)


def _with_dataset(returned: Any) -> tuple[Any, tf.data.Dataset | None]:
    match returned:
        case (keras.Model() as model, given) if (dataset := dataset_of(given)) is not None:
            return model, dataset
    return returned, None


def dataset_of(given: Any) -> tf.data.Dataset | None:
    """What `fit` makes of a dataset or of Keras's own kind of one; None of anything else.

    Raises:
        Exception: whatever a `PyDataset` raises when its first batches are asked for.
    """
    if isinstance(given, keras.utils.PyDataset):
        return PyDatasetAdapter(given).get_tf_dataset()
    return given if isinstance(given, tf.data.Dataset) else None


def _refuse_other_backend(spec: ModelSpec) -> None:
    """The builder's module may choose a backend, and Keras has been imported by then."""
    chosen = os.environ.get("KERAS_BACKEND", "tensorflow")
    if chosen != "tensorflow":
        raise TrialError(
            "build",
            "WrongBackend",
            f"builder {spec.builder!r} sets KERAS_BACKEND to {chosen}, and what is measured here "
            "are TensorFlow's training steps: leave that out, if the model trains under "
            "TensorFlow as well",
        )


def _not_a_model(returned: Any, spec: ModelSpec) -> TrialError:
    given = full_name(returned)
    advice = "return the model"
    match returned:
        case (keras.Model(), beside):
            given = f"(keras.Model, {full_name(beside)})"
            advice = f"beside the model it may return {A_DATASET}"
    if isinstance(returned, keras.Layer):
        advice = "wrap the layer: keras.Sequential([keras.Input(shape), layer])"
    elif given.startswith("torch."):
        advice = "models of torch cannot be measured here"
    elif isinstance(returned, tf.Module):
        advice = "call it in the `call` of a keras.Model, and return that"
    elif given.startswith("tf_keras."):
        advice = "this is Keras 2; build it with `keras` (Keras 3)"
    return TrialError(
        "build",
        "NotAModel",
        f"builder {spec.builder!r} returned {given}, not a keras.Model; {advice}",
    )


def full_name(value: Any) -> str:
    """The class of a value as a user knows it."""
    return f"{type(value).__module__}.{type(value).__name__}".removeprefix("builtins.")


def _keras_argument(name: str, value: Any) -> Any:
    """A value as Keras takes it: TOML has no null (`weights = "none"`) and no tuples (lists)."""
    if name == "weights" and value == "none":
        return None
    return tuple(value) if isinstance(value, list) else value


def _compile(model: keras.Model, spec: ModelSpec, setting: Setting) -> tuple[str, ...]:
    """Compile, or adjust what the builder compiled, so that the study's choices hold."""
    warnings = []
    optimizer = _optimizer(model, setting)
    if optimizer is None:
        optimizer = keras.optimizers.get(DEFAULT_OPTIMIZER)
        warnings.append(
            f"neither the study nor the builder names an optimizer: {DEFAULT_OPTIMIZER} was used"
        )
    jit: Any = {"auto": "auto", "true": True, "false": False}[setting.jit_compile]
    if model.compiled and spec.loss is None and not spec.metrics:
        model.optimizer = optimizer if setting.optimizer is None else _scaled(model, optimizer)
        if jit != "auto":
            model.jit_compile = jit
    else:
        # A model that was compiled without a loss adds its own.
        loss = spec.loss or (model.loss if model.compiled else default_loss(model))
        kept = _compiled_with(model) if model.compiled else {}
        if jit != "auto" or not kept:
            kept["jit_compile"] = jit
        if spec.metrics or not kept.get("metrics"):
            kept["metrics"] = _metrics(model, spec)
        with user_code(f"compiling the model of {spec.builder!r}"):
            model.compile(optimizer=optimizer, loss=loss, **kept)
    if jit is True and not model.jit_compile:
        warnings.append("jit_compile = true, but a layer of the model does not support XLA")
    return tuple(warnings)


def _compiled_with(model: keras.Model) -> dict[str, Any]:
    """What the builder's own `compile` said beside optimizer and loss, to say it again."""
    losses = getattr(model, "_compile_loss", None)
    metrics = getattr(model, "_compile_metrics", None)
    return {
        "loss_weights": getattr(losses, "_user_loss_weights", None),
        "metrics": getattr(metrics, "_user_metrics", None),
        "weighted_metrics": getattr(metrics, "_user_weighted_metrics", None),
        "run_eagerly": bool(model.run_eagerly),
        "steps_per_execution": model.steps_per_execution,
        "jit_compile": model.jit_compile,
    }


def _metrics(model: keras.Model, spec: ModelSpec) -> Any:
    """The study's metrics, for each output of a model that has several."""
    outputs = getattr(model, "output_names", None) or ()
    if not spec.metrics or len(outputs) < 2:
        return list(spec.metrics) or None
    return [list(spec.metrics) for _ in outputs]


def _optimizer(model: keras.Model, setting: Setting) -> keras.optimizers.Optimizer | None:
    if setting.optimizer is not None:
        try:
            name, arguments = taken_apart(setting.optimizer)
            if not arguments:
                return keras.optimizers.get(name)
            return keras.optimizers.get({"class_name": name, "config": dict(arguments)})
        except (ValueError, TypeError) as error:
            message = f"optimizer {setting.optimizer!r} cannot be made: {short_error(error)}"
            raise TrialError("build", "UnknownOptimizer", message) from error
    own = model.optimizer if model.compiled else None
    return own if own is None or not own.built else unbuilt(own)


def unbuilt(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The same optimizer, for other variables: one refuses those that it was not built with.

    Raises:
        TrialError: its class cannot make it again from its `get_config`.
    """
    name = type(optimizer).__name__
    rate = getattr(optimizer, "_learning_rate", None)
    is_schedule = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
    try:
        if is_schedule:  # which may have no `get_config`
            optimizer._learning_rate = None
        made = type(optimizer).from_config(optimizer.get_config())
    except Exception as error:
        raise TrialError(
            "build",
            "UnknownOptimizer",
            f"the optimizer {name} has trained already and cannot be made again from its "
            f"`get_config` ({short_error(error)}): compile the model once more at the end of the "
            "builder, or give it a `get_config`",
        ) from error
    finally:
        if is_schedule:
            optimizer._learning_rate = rate
    if is_schedule:
        made._learning_rate = rate
    for kept in _NOT_IN_CONFIG:
        if hasattr(optimizer, kept):
            setattr(made, kept, getattr(optimizer, kept))
    return made


def _scaled(
    model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> keras.optimizers.Optimizer:
    """Loss scaling as `compile` adds it."""
    scaling = keras.optimizers.LossScaleOptimizer
    if model.dtype_policy.name == "mixed_float16" and not isinstance(optimizer, scaling):
        return scaling(optimizer, name="loss_scale_optimizer")
    return optimizer


def default_loss(model: keras.Model) -> str:
    """Categorical cross-entropy where every output is a softmax, else mean squared error."""
    outputs = getattr(model, "outputs", None) or []
    softmax = [_is_softmax(output) for output in outputs]
    return "categorical_crossentropy" if softmax and all(softmax) else "mse"


def _is_softmax(output: Any) -> bool:
    operation = output._keras_history.operation
    inner = getattr(operation, "outputs", None)
    if isinstance(operation, keras.Model) and inner:
        return _is_softmax(inner[output._keras_history.tensor_index])
    activation = getattr(operation, "activation", None)
    return isinstance(operation, keras.layers.Softmax) or (
        getattr(activation, "__name__", "") == "softmax"
    )
