"""How a step runs: by XLA or eagerly; why eagerly, and which line of the builder to change.

In: a built model and its entry in the study. Out: the reason in a sentence, or None for a step that
is compiled. An eager step can be timed; its ops come from Python one by one, and no graph tells
which layer and pass they belong to.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import tensorflow as tf

from frostline.trial import ModelSpec


def runs_eagerly(model: keras.Model) -> bool:
    """Whether a training step of the model is not compiled."""
    return bool(model.run_eagerly) or bool(tf.config.functions_run_eagerly())


def is_compiled_by_xla(model: keras.Model) -> bool:
    """Asked for by `compile`, or by the builder for every function of the process."""
    everywhere = tf.config.optimizer.get_jit() == "autoclustering"
    return not runs_eagerly(model) and (bool(model.jit_compile) or everywhere)


def why_eager(model: keras.Model, spec: ModelSpec) -> str | None:
    """Why a step runs eagerly, and what to change; None where it is compiled."""
    if not runs_eagerly(model):
        return None
    leave_out, word = "tf.config.run_functions_eagerly(True)", "run_functions_eagerly"
    if model.run_eagerly:
        leave_out, word = "run_eagerly=True", "run_eagerly"
    return (
        "the step runs eagerly, op by op from Python, and no graph tells which layer and pass an "
        f"op belongs to. Compile it: leave {leave_out} out{_place(spec, word)}"
    )


def _place(spec: ModelSpec, word: str) -> str:
    """The line of the builder's module that makes the step eager, where it can be found."""
    module = sys.modules.get(spec.builder.partition(":")[0])
    file = getattr(module, "__file__", None)
    if not file:
        return ""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return ""
    for number, line in enumerate(lines, start=1):
        code = line.partition("#")[0].strip()
        if word in code and not code.endswith("False"):
            return f" ({Path(file).name}, line {number}: `{code}`)"
    return ""
