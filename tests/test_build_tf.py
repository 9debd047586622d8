"""Building models and feeding them, with Keras."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline.errors import TrialError
from frostline.trial import ModelSpec, Setting

pytestmark = pytest.mark.tf

HERE = str(Path(__file__).parent)
SETTING = Setting(
    batch_size=4, optimizer=None, precision="float32", jit_compile="auto", strategy="single"
)


def spec(name: str, **kwargs: Any) -> ModelSpec:
    return ModelSpec(
        name=name,
        builder=f"sample_models:{name}",
        kwargs_json=json.dumps(kwargs),
        loss=None,
        metrics=(),
        data=None,
        search_path=(HERE,),
    )


@pytest.fixture(scope="module")
def built() -> Any:
    from frostline.measure import build

    return build


def test_two_builds_have_the_same_names_and_weights(built: Any) -> None:
    first, _ = built.build(spec("convnet"), SETTING, seed=3)
    second, _ = built.build(spec("convnet"), SETTING, seed=3)
    assert [v.path for v in first.variables] == [v.path for v in second.variables]
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]
    for one, other in zip(first.variables, second.variables, strict=True):
        assert np.array_equal(one.numpy(), other.numpy())


def test_a_build_leaves_the_compiled_steps_of_other_models_alone(
    built: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a warm baseline is compiled again for every trial; Keras by itself throws it away."""
    import keras
    import tensorflow as tf
    from tensorflow.python import pywrap_tfe

    from frostline.measure.fresh_state import clears

    built.build(spec("convnet"), SETTING, seed=3)  # whatever ran before
    thrown_away: list[object] = []
    clear = pywrap_tfe.TFE_ContextClearCaches

    def counted(handle: object) -> None:
        thrown_away.append(handle)
        clear(handle)

    monkeypatch.setattr(pywrap_tfe, "TFE_ContextClearCaches", counted)
    before = clears()
    built.build(spec("convnet"), SETTING, seed=3)
    assert (thrown_away, clears()) == ([], before)

    tf.random.normal([2])  # its kernel holds the state of its generator
    built.build(spec("convnet"), SETTING, seed=3)
    assert len(thrown_away) == 2, "by Keras's session, and by TensorFlow's seed"
    assert clears() == before + 1
    keras.utils.clear_session(free_memory=False)
    assert len(thrown_away) == 3


def test_stateful_random_numbers_repeat_as_well(built: Any) -> None:
    import tensorflow as tf

    drawn = []
    for _ in range(2):
        built.build(spec("convnet"), SETTING, seed=3)
        drawn.append([tf.random.normal([2]).numpy().tolist() for _ in range(2)])
    assert drawn[0] == drawn[1]
    assert drawn[0][0] != drawn[0][1]


def test_compilations_of_a_step_are_counted(built: Any) -> None:
    import numpy as np

    from frostline.measure.compilations import step_traces

    model, _ = built.build(spec("dense", loss="mse"), SETTING, seed=3)
    shape = model.input_shape[1:]
    outputs = model.output_shape[1:]
    assert step_traces(model) is None, "it has no step yet"
    for sizes in ([4], [4, 4], [4, 2]):
        for size in sizes:
            model.fit(
                np.zeros((size, *shape)), np.zeros((size, *outputs)), batch_size=size, verbose=0
            )
    assert step_traces(model) == 2, "the third batch has another size"
    step = model.train_function

    def around(iterator: Any) -> Any:
        return step(iterator) if iterator is not None else later

    model.train_function = around
    assert step_traces(model) == 2, "a name in the closure that has no value yet counts for nothing"
    later = None


def test_the_builders_own_compilation_is_kept(built: Any) -> None:
    model, warnings = built.build(spec("dense", loss="mse"), SETTING, seed=0)
    assert model.optimizer.name.lower() == "sgd"
    assert model.loss == "mse"
    assert warnings == ()


def test_the_studys_optimizer_overrides_it(built: Any) -> None:
    model, _ = built.build(spec("dense"), replace(SETTING, optimizer="adam"), seed=0)
    assert type(model.optimizer).__name__ == "Adam"
    assert model.loss == "categorical_crossentropy"


def test_the_studys_optimizer_has_its_arguments(built: Any) -> None:
    text = "adamw(clipnorm=1.0, gradient_accumulation_steps=4, use_ema=True, weight_decay=0.25)"
    model, _ = built.build(spec("dense"), replace(SETTING, optimizer=text), seed=0)
    found = model.optimizer
    assert type(found).__name__ == "AdamW"
    assert (found.weight_decay, found.clipnorm) == (0.25, 1.0)
    assert (found.use_ema, found.gradient_accumulation_steps) == (True, 4)
    for wrong in ("adamw(clipnorm=1.0, clipvalue=1.0)", "adamw(nothing=1)"):
        with pytest.raises(TrialError, match="cannot be made") as caught:
            built.build(spec("dense"), replace(SETTING, optimizer=wrong), seed=0)
        assert caught.value.kind == "UnknownOptimizer"


def test_what_nobody_chose_is_chosen_and_said(built: Any) -> None:
    model, warnings = built.build(spec("convnet"), SETTING, seed=0)
    assert model.loss == "categorical_crossentropy"
    assert any("adam" in warning for warning in warnings)


def test_mixed_float16_scales_the_loss(built: Any) -> None:
    import keras

    setting = replace(SETTING, precision="mixed_float16", optimizer="adam")
    for name in ("dense", "convnet"):
        model, _ = built.build(spec(name), setting, seed=0)
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    built.build(spec("dense"), SETTING, seed=0)
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("raises", "RuntimeError", "the weights file is missing"),
        ("reads_arguments", "SystemExit", r"raised SystemExit at .*: usage: train.py DATA"),
        ("not_a_model", "NotAModel", "returned int"),
        ("nowhere", "NotCallable", "no callable 'nowhere'"),
    ],
)
def test_bad_builders_are_named(built: Any, name: str, kind: str, words: str) -> None:
    with pytest.raises(TrialError, match=words) as caught:
        built.build(spec(name), SETTING, seed=0)
    assert caught.value.stage == "build"
    assert caught.value.kind == kind


def test_an_error_in_a_builder_says_where(built: Any) -> None:
    with pytest.raises(TrialError, match=r"sample_models\.py:\d+"):
        built.build(spec("raises"), SETTING, seed=0)


def test_keras_applications_by_name(built: Any) -> None:
    entry = replace(
        spec("any"),
        builder="keras.applications:MobileNetV2",
        kwargs_json=json.dumps(
            {"weights": "none", "input_shape": [32, 32, 3], "classes": 4, "alpha": 0.35}
        ),
    )
    model, _ = built.build(entry, SETTING, seed=0)
    assert model.count_params() > 300_000


def test_synthetic_batches_fit_structures_losses_and_vocabulary(built: Any) -> None:
    from frostline.measure.synthetic import synthetic_batch

    model, _ = built.build(spec("two_inputs"), SETTING, seed=0)
    x, y = synthetic_batch(model, 64, seed=1)
    assert set(x) == {"a", "tokens"}
    assert x["a"].shape == (64, 5)
    assert int(x["tokens"].numpy().max()) == 10
    assert y["classes"].shape == (64,)
    assert set(np.unique(y["classes"].numpy())) == {0, 1}
    assert y["value"].shape == (64, 1)


def test_one_hot_targets_for_a_softmax(built: Any) -> None:
    from frostline.measure.synthetic import synthetic_batch

    model, _ = built.build(spec("dense"), SETTING, seed=0)
    _, y = synthetic_batch(model, 16, seed=1)
    assert y.shape == (16, 4)
    assert np.array_equal(y.numpy().sum(axis=1), np.ones(16))


def test_an_unknown_size_asks_for_data(built: Any) -> None:
    from frostline.measure.synthetic import synthetic_batch

    model, _ = built.build(spec("unknown_size"), SETTING, seed=0)
    with pytest.raises(TrialError, match=r"shape \(batch, \?, 3\)"):
        synthetic_batch(model, 4, seed=0)


def test_tracing_a_prepared_step_happens_once(built: Any) -> None:
    import tensorflow as tf

    from frostline.measure.arm import Arm
    from frostline.measure.batches import feed

    for name in ("dense", "convnet", "two_inputs"):
        model, _ = built.build(spec(name), SETTING, seed=0)
        strategy = tf.distribute.get_strategy()
        arm = Arm(model, feed(model, spec(name), SETTING, strategy, seed=0).batches, strategy)
        traces = []
        step = model.train_step

        def counting(data: Any, step: Any = step, traces: list[int] = traces) -> Any:
            traces.append(1)
            return step(data)

        model.train_step = counting
        arm.state.build()
        model.make_train_function()
        arm.run(3)
        assert len(traces) == 1, name


def test_a_loss_that_is_not_finite_is_an_error(built: Any) -> None:
    import tensorflow as tf

    from frostline.measure.arm import Arm
    from frostline.measure.batches import feed

    entry = spec("explodes")
    model, _ = built.build(entry, SETTING, seed=0)
    strategy = tf.distribute.get_strategy()
    arm = Arm(model, feed(model, entry, SETTING, strategy, seed=0).batches, strategy)
    model.make_train_function()
    with pytest.raises(TrialError, match="after 50 steps; lower the learning rate") as caught:
        arm.run(50)
    assert caught.value.kind == "NonFiniteLoss"


def test_float16_is_named_where_a_loss_is_not_finite(built: Any) -> None:
    import tensorflow as tf

    from frostline.measure.arm import Arm
    from frostline.measure.batches import feed

    entry, setting = spec("explodes"), replace(SETTING, precision="mixed_float16")
    model, _ = built.build(entry, setting, seed=0)
    strategy = tf.distribute.get_strategy()
    arm = Arm(model, feed(model, entry, setting, strategy, seed=0).batches, strategy)
    model.make_train_function()
    with pytest.raises(TrialError, match=r"float16 ends at 65,504.*mixed_bfloat16"):
        arm.run(50)


def test_what_the_builder_compiled_with_stays_beside_the_studys_metrics(built: Any) -> None:
    """A loss of 1e6 times the second output's shows whether the weights are there."""
    import keras

    entry = replace(spec("set_up_by_builder", jit=True), builder="fed_models:set_up_by_builder")
    plain, _ = built.build(entry, SETTING, seed=0)
    model, _ = built.build(replace(entry, metrics=("mse",)), SETTING, seed=0)
    x, y = np.ones((4, 6), "float32"), [np.eye(4, 3, dtype="float32"), np.ones((4, 2), "float32")]
    losses = [
        float(one.evaluate(x, y, verbose=0, return_dict=True)["loss"]) for one in (plain, model)
    ]
    assert losses[0] == pytest.approx(losses[1])
    assert losses[0] > 1e4
    names = model.get_metrics_result().keys()
    assert {"cls_mse", "box_mse", "cls_accuracy", "box_mae"} <= names
    assert model.jit_compile
    assert isinstance(model.optimizer, keras.optimizers.SGD)


def test_what_the_builder_froze_is_counted(built: Any) -> None:
    from frostline.measure.layers import frozen_by_builder

    entry = replace(spec("set_up_by_builder", frozen=True), builder="fed_models:set_up_by_builder")
    model, _ = built.build(entry, SETTING, seed=0)
    frozen = frozen_by_builder(model)
    assert sorted(variable.name for variable in frozen) == ["bias", "kernel"], "no statistics"
    assert sum(variable.numpy().size for variable in frozen) == 6 * 8 + 8


@pytest.mark.parametrize(
    ("called_under", "kwargs", "own"),
    [
        ("float32", {"policy": "mixed_bfloat16"}, "mixed_bfloat16"),
        ("mixed_float16", {"policy": "float32"}, "float32"),
        ("float32", {"policy": "float64"}, "float64"),  # by `floatx`
        ("mixed_bfloat16", {}, None),
        ("float32", {}, None),
        ("float32", {"policy": "mixed_bfloat16", "head": "mixed_bfloat16"}, "mixed_bfloat16"),
    ],
)
def test_a_dtype_policy_that_the_builder_sets_is_found(
    built: Any, called_under: str, kwargs: dict[str, str], own: str | None
) -> None:
    from frostline.measure.precision import own_precision

    entry = replace(spec("set_up_by_builder", **kwargs), builder="fed_models:set_up_by_builder")
    model, _ = built.build(entry, replace(SETTING, precision=called_under), seed=0)
    assert own_precision(model, called_under) == own
    policy = kwargs.get("policy", called_under)
    assert model.get_layer("trunk").dtype_policy.name == policy

    again, _ = built.build(
        replace(entry, called_under=called_under), replace(SETTING, precision=policy), seed=0
    )
    assert again.get_layer("trunk").dtype_policy.name == policy


@pytest.mark.parametrize(
    ("kwargs", "leave_out"),
    [
        ({"eagerly": True}, r"leave run_eagerly=True out .*: `run_eagerly=eagerly,`\)$"),
        (
            {"functions": True},
            r"leave tf.config.run_functions_eagerly\(True\) out \(fed_models.py, line \d+: `tf.con",
        ),
    ],
)
def test_an_eager_step_says_which_line_to_change(
    built: Any, kwargs: dict[str, bool], leave_out: str
) -> None:
    import tensorflow as tf

    from frostline.measure.eager import why_eager

    entry = replace(spec("set_up_by_builder", **kwargs), builder="fed_models:set_up_by_builder")
    model, warnings = built.build(entry, SETTING, seed=0)
    assert re.search(leave_out, str(why_eager(model, entry)))
    assert warnings == (), "the row has the reason already"

    compiled, _ = built.build(spec("dense"), SETTING, seed=0)
    assert not tf.config.functions_run_eagerly(), "one model's choice is no other model's"
    assert why_eager(compiled, spec("dense")) is None
