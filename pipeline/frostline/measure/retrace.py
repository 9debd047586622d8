"""The answer to `RetraceStep`: a measured trial's training step, traced again and not run.

For sweeps that were measured before the tensors of a step were recorded. The model is built, frozen
and compiled as for a trial, and the function that `fit` would run is traced on one batch as it is
when it is called; then the call is given up. Works without the device on which the trial ran.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from frostline.errors import TrialError
from frostline.measure.arm import Arm
from frostline.measure.build import strategy_for
from frostline.measure.eager import runs_eagerly
from frostline.measure.fed_arm import fed_arm
from frostline.measure.fresh_step import fresh_train_function
from frostline.measure.graph.recorder import StepRecorder
from frostline.measure.graph.step import analyse_step
from frostline.measure.graph.wrapped_methods import wrapped
from frostline.measure.held_bytes import held_bytes
from frostline.measure.layers import freeze, owned_layers
from frostline.measure.memory_release import release_memory
from frostline.measure.messages import Retraced, RetraceStep

_Function = type(tf.function(lambda: None))


class _GivenUpError(BaseException):
    """Ends a call once its function is traced; nothing that the call goes through may catch it."""

    def __init__(self, traced: Any) -> None:
        super().__init__()
        self.traced = traced


def retrace(request: RetraceStep, enter: Callable[[str], None]) -> Retraced:
    """Trace a trial's step and write its ops to the request's file; `enter` is told the stages.

    Raises:
        TrialError: the model cannot be built, or its step has no graph.
    """
    setting = replace(request.setting, strategy="single")
    enter("build")
    arm = fed_arm(
        request.model, setting, strategy_for(setting), seed=request.seed, counted=False
    ).arm
    model = arm.model
    owned = owned_layers(model)
    freeze(model, frozenset(request.frozen_variables))
    enter("trace")
    arm.state.build()
    with StepRecorder(model) as recorder:
        traced = None if runs_eagerly(model) else arm.state.first(functools.partial(_traced, arm))
    arm.applies(recorder.optimizers)
    graph, _, unseen = analyse_step(recorder, owned, batch_size=setting.batch_size)
    if graph is None:
        raise TrialError("trace", "NoGraph", "; ".join(unseen))
    graph.save(Path(request.graph_path))
    held = held_bytes(model, arm.state.looks_like(), arm.optimizers)
    del traced, recorder, arm, model
    release_memory()
    return Retraced(held=held)


def _traced(arm: Arm) -> Any:
    """What the training function, made anew, traces when it is called; keeps the graph alive."""
    fresh_train_function(arm.model)
    with _tracing_only():
        try:
            arm.model.train_function(arm.batches)
        except _GivenUpError as given_up:
            return given_up.traced
    raise TrialError("trace", "NoGraph", "the training function calls no tf.function")


@contextmanager
def _tracing_only() -> Iterator[None]:
    """Let the outermost `tf.function` that is called be traced, and its call be given up."""

    def instead(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(function: Any, /, *args: Any, **kwargs: Any) -> Any:
            if tf.inside_function():
                return original(function, *args, **kwargs)
            raise _GivenUpError(function.get_concrete_function(*args, **kwargs))

        return call

    with wrapped(_Function, "__call__", instead):
        yield
