"""Gradient norms, and the code that freezes, on real Keras models."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline.errors import TrialError
from frostline.recommendation.keras_code import keras_code

pytestmark = pytest.mark.tf

ARCHITECTURES = ("vgg", "towers", "shared", "tied", "recurrent", "bidirectional", "attention",
                 "scaled", "positions")  # fmt: skip


@pytest.fixture(scope="module")
def zoo() -> Any:
    import traced_models

    return traced_models


def norms_of(model: Any, batch: Any) -> dict[str, float]:
    import tensorflow as tf

    from frostline.measure.gradient_norms import gradient_norms
    from frostline.measure.layers import owned_layers

    feed = itertools.repeat(batch)
    return dict(gradient_norms(model, feed, tf.distribute.get_strategy(), owned_layers(model)))


def expected_norms(model: Any, batch: Any) -> dict[str, float]:
    """By hand: the tape on the compiled loss."""
    import tensorflow as tf

    from frostline.measure.layers import owned_layers

    x, y = batch
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x=x, y=tf.constant(y), y_pred=model(x, training=True))
    variables = model.trainable_variables
    gradients = dict(zip(map(id, variables), tape.gradient(loss, variables), strict=True))
    return {
        layer.name: float(
            np.sqrt(
                sum(
                    float(tf.reduce_sum(tf.convert_to_tensor(gradients[id(v.variable)]) ** 2))
                    for v in layer.variables
                )
            )
        )
        for layer in owned_layers(model)
    }


@pytest.mark.parametrize("make", ["vgg", "towers", "shared", "tied", "positions"])
def test_norms_are_those_of_the_training_steps_gradients(zoo: Any, make: str) -> None:
    import keras

    model = zoo.build(getattr(zoo, make))
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=False)  # stands still
    batch = zoo.batch_for(model)
    expected = expected_norms(model, batch)
    assert max(expected.values()) > 0
    assert norms_of(model, batch) == pytest.approx(expected, rel=1e-5)


def test_loss_scaling_leaves_norms_as_they_are(zoo: Any) -> None:
    import keras

    found = []
    for optimizer in (
        keras.optimizers.SGD(0.0),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0), initial_scale=1024.0),
    ):
        model = zoo.build(zoo.vgg)
        model.compile(optimizer, "mse", jit_compile=False)
        found.append(norms_of(model, zoo.batch_for(model)))
    assert found[1] == pytest.approx(found[0], rel=1e-5)


def test_the_tape_is_as_it_was_and_a_step_without_one_is_refused(zoo: Any) -> None:
    import keras
    import tensorflow as tf

    class NoTape(keras.Model):
        def train_step(self, data: Any) -> dict[str, Any]:
            return {"loss": tf.constant(0.0)}

    inputs = keras.Input((4,))
    model = NoTape(inputs, keras.layers.Dense(2, name="head")(inputs))
    model.compile("sgd", "mse", jit_compile=False)
    before = tf.GradientTape.gradient
    with pytest.raises(TrialError, match="shows no gradients"):
        norms_of(model, (np.ones((2, 4), "float32"), np.zeros((2, 2), "float32")))
    assert tf.GradientTape.gradient is before


@pytest.mark.parametrize("make", ARCHITECTURES)
def test_pasted_code_freezes_what_the_measured_trial_freezes(zoo: Any, make: str) -> None:
    from frostline.measure.inspect.model import inspect
    from frostline.measure.layers import freeze

    build: Callable[[], Any] = getattr(zoo, make)
    facts = inspect(zoo.build(build), "net", zoo.batch_for(zoo.build(build))[0], build_s=0.1)
    names = [layer.name for layer in facts.layers]
    for chosen in (names[:1], names[1:], names[::2]):
        by_code, by_policy = zoo.build(build), zoo.build(build)
        exec(keras_code(facts, chosen), {"model": by_code})
        freeze(by_policy, [v.path for name in chosen for v in facts.by_name[name].variables])
        assert [v.path for v in by_code.trainable_variables] == [
            v.path for v in by_policy.trainable_variables
        ]
        assert len(by_code.trainable_variables) < len(facts.variables)


def test_a_control_records_norms_after_it_was_timed_and_profiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    import test_measure_tf as kit

    from frostline.measure.client import MeasureProcess

    monkeypatch.setattr(kit, "MEASURE", replace(kit.MEASURE, gradient_norms=True))
    with MeasureProcess(cores=(), gpu_ids="", log_path=tmp_path / "log") as process:
        session = kit.Session(process, tmp_path)
        model = kit.spec("dense")
        facts = session.inspect(model).facts
        session.open(model)
        control = kit.trial_of(facts, model, ())
        measured = session.run(control)
        assert measured.trace_file is not None
        assert session.stages.index("gradients") > session.stages.index("profile")
        assert set(measured.gradient_norms) == {"first", "second", "head"}
        assert all(norm > 0 for norm in measured.gradient_norms.values())
        assert not [text for text in measured.warnings if "gradient norms" in text]
        second = replace(control, trial_id="other", replicate=1)
        assert session.run(second).gradient_norms is None
