"""What models are fed: synthetic batches that suit them, users' datasets, and a word where neither.

The whole way to the measuring process is in `test_measure_tf`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frostline.errors import TrialError
from frostline.launch import source_root
from frostline.measure.messages import InspectModel
from frostline.trial import ModelSpec, Setting

pytestmark = pytest.mark.tf

HERE = str(Path(__file__).parent)
SETTING = Setting(
    batch_size=4, optimizer=None, precision="float32", jit_compile="auto", strategy="single"
)


def spec(name: str, data: str | None = None, module: str = "fed_models", kwargs: str = "{}") -> Any:
    return ModelSpec(
        name=name, builder=f"{module}:{name}", kwargs_json=kwargs, loss=None, metrics=(),
        data=None if data is None else f"fed_models:{data}", search_path=(HERE,),
    )  # fmt: skip


def synthetic(name: str, batch_size: int = 200, kwargs: str = "{}") -> tuple[Any, Any]:
    from frostline.measure.build import build
    from frostline.measure.synthetic import synthetic_batch

    model, _ = build(spec(name, kwargs=kwargs), SETTING, seed=0)
    return synthetic_batch(model, batch_size, seed=1)


def inspected(entry: ModelSpec, setting: Setting = SETTING) -> Any:
    from frostline.measure.inspect.answer import inspect_request

    request = InspectModel(model=entry, setting=setting, seed=5, log_path="x")
    return inspect_request(request, lambda stage: None).facts


def test_ids_stay_inside_a_table_behind_an_offset() -> None:
    ids, _ = synthetic("ids_with_offset")
    assert (int(ids.numpy().min()), int(ids.numpy().max())) == (0, 69)


def test_floats_that_are_cast_to_ids_are_whole_and_others_are_not() -> None:
    x, _ = synthetic("ids_as_floats")
    ids, pixels = x["ids"].numpy(), x["pixels"].numpy()
    assert ids.dtype == np.float32
    assert set(np.unique(ids)) == set(range(20)), "Keras takes id -1 for the last one"
    assert abs(float(pixels.mean())) < 0.2
    assert float(pixels.std()) == pytest.approx(1, abs=0.1)


def test_one_hot_bytes_and_hashes_have_ranges_of_their_own() -> None:
    x, _ = synthetic("one_of")
    assert set(np.unique(x["kind"].numpy())) == set(range(7))
    assert int(x["image"].numpy().max()) > 200
    assert set(np.unique(x["user"].numpy())) == set(range(16))


def test_a_mask_hides_nothing() -> None:
    """Rows of nothing but padding make an attention nan in float16, and no data has them."""
    x, _ = synthetic("masked")
    assert x["padding_mask"].numpy().min() == 1
    assert set(np.unique(x["tokens"].numpy())) == set(range(9))
    assert set(np.unique(x["unmasked"].numpy())) == {False, True}


def test_an_id_for_each_axis_of_a_table() -> None:
    ids, _ = synthetic("pairs_of_ids")
    assert set(np.unique(ids.numpy())) == {0, 1, 2, 3}, "the shorter of 9 and 4"


def test_a_batch_that_is_known_is_not_found_out_again() -> None:
    import tensorflow as tf

    from frostline.measure.batches import feed
    from frostline.measure.build import build

    entry, strategy = spec("ids_with_offset"), tf.distribute.get_strategy()
    model, _ = build(entry, SETTING, seed=0)
    first = feed(model, entry, SETTING, strategy, seed=0)
    again = feed(model, entry, SETTING, strategy, seed=0, known=first)
    assert next(again.batches) is next(first.batches)


def test_a_sparse_input_is_sparse() -> None:
    import tensorflow as tf

    words, classes = synthetic("sparse_bag", batch_size=20)
    assert isinstance(words, tf.SparseTensor)
    assert 50 < len(words.values) < 200
    assert set(np.unique(classes.numpy())) == {0, 1}


@pytest.mark.parametrize(
    ("loss", "shape", "indices"),
    [
        ("cast", (200,), True),
        ("picked", (200,), True),
        ("hot", (200,), True),
        ("squared", (200, 10), False),
    ],
)
def test_targets_are_what_a_loss_of_the_builders_own_takes(
    loss: str, shape: tuple[int, ...], indices: bool
) -> None:
    _, y = synthetic("loss_of", kwargs=f'{{"kind": "{loss}"}}')
    assert tuple(y.shape) == shape
    if indices:
        assert set(np.unique(y.numpy())) == set(range(10))
    else:
        assert 0.4 < float(y.numpy().mean()) < 0.6


def test_losses_of_keras_go_by_what_they_are_and_not_by_the_name_they_were_given() -> None:
    _, (letters, speaker) = synthetic("speech")
    assert tuple(letters.shape) == (200, 4)
    assert set(np.unique(letters.numpy())) == {1, 2, 3, 4}, "0 is blank"
    assert tuple(speaker.shape) == (200,)
    assert set(np.unique(speaker.numpy())) == {0, 1, 2, 3}
    assert len(inspected(spec("speech")).layers) == 2


def test_a_train_step_that_takes_no_targets_gets_none() -> None:
    from frostline.measure.batches import first_batch
    from frostline.measure.build import build

    entry = spec("autoencoder")
    assert inspected(entry).inputs_alone
    assert not inspected(spec("many_inputs")).inputs_alone
    alone = replace(entry, inputs_alone=True)
    assert alone.identity == entry.identity, "trials keep their ids"
    model, _ = build(alone, SETTING, seed=0)
    assert tuple(first_batch(model, alone, SETTING, seed=0).shape) == (4, 6), "bare, as in fit"


def test_a_dataset_of_inputs_alone_is_fed_as_it_is() -> None:
    facts = inspected(spec("autoencoder", data="inputs_data"))
    assert [layer.name for layer in facts.layers] == ["out"]
    assert (facts.batch_size, facts.inputs_alone) == (4, False)


def test_a_sequential_model_without_an_input_is_built_by_its_data() -> None:
    facts = inspected(spec("no_input", data="remainder_data"))
    assert [(layer.name, layer.params) for layer in facts.layers] == [("out", 6 * 4 + 4)]
    with pytest.raises(TrialError, match="start it with keras") as caught:
        inspected(spec("no_input"))
    assert caught.value.kind == "NotBuilt"


@pytest.mark.parametrize("by", ["shape", "a call"])
def test_a_subclassed_model_is_fed_what_it_was_built_with(by: str) -> None:
    from frostline.measure.batches import first_batch
    from frostline.measure.build import build

    entry = spec("built", kwargs=f'{{"by": "{by}"}}')
    facts = inspected(entry)
    assert [layer.name for layer in facts.layers] == ["emb", "out"]
    (warning,) = facts.facts_warnings
    dtype = {"shape": "float32", "a call": "int32"}[by]
    assert f"the shape that it was built with, (batch, 6) in {dtype}; they are ids" in warning
    model, _ = build(entry, SETTING, seed=0)
    x, y = first_batch(model, entry, SETTING, seed=0)
    assert (x.shape, y.shape) == ((4, 6), (4,))
    ids = set(x.numpy().ravel())
    assert len(ids) > 8
    assert ids <= set(range(50))
    assert set(y.numpy()) <= {0, 1, 2}


def test_a_subclassed_model_is_fed_what_its_builder_called_it_with() -> None:
    from frostline.measure.batches import first_batch
    from frostline.measure.build import build

    entry = spec("called")
    assert [layer.name for layer in inspected(entry).layers] == ["emb", "out"], (
        "Keras trains no other variables"
    )
    model, _ = build(entry, SETTING, seed=0)
    x, y = first_batch(model, entry, SETTING, seed=0)
    assert {name: (each.shape, each.dtype.name) for name, each in x.items()} == {
        "ids": ((4, 6), "int64"),
        "mask": ((4, 6), "float32"),
    }
    assert set(x["ids"].numpy().ravel()) <= set(range(50))
    assert set(x["mask"].numpy().ravel()) == {1}
    assert set(y.numpy()) <= {0, 1, 2}


def test_a_model_that_was_built_by_its_shape_has_variables_in_every_arm() -> None:
    import tensorflow as tf

    from frostline.measure.fed_arm import fed_arm
    from frostline.measure.layers import owned_layers

    entry, strategy = spec("weights_first"), tf.distribute.get_strategy()
    first = fed_arm(entry, SETTING, strategy, seed=0)
    second = fed_arm(entry, SETTING, strategy, seed=0, known=first.feed)
    for each in (first, second):
        (layer,) = owned_layers(each.arm.model)
        assert [variable.path for variable in layer.variables] == ["out/kernel", "out/bias"]


def test_a_step_may_take_a_batch_that_the_model_cannot_be_called_on() -> None:
    facts = inspected(spec("triplets", data="triplet_data"))
    assert [layer.name for layer in facts.layers] == ["net/sequential/side"]
    with pytest.raises(TrialError) as caught:
        inspected(spec("triplets"))
    assert caught.value.kind == "NeedsData"


@pytest.mark.parametrize(
    ("entry", "examples"),
    [(spec("with_its_data"), 8), (spec("with_batches", kwargs='{"kind": "python"}'), 5)],
    ids=["tensors", "python"],
)
def test_a_builder_may_return_its_dataset(entry: Any, examples: float) -> None:
    import tensorflow as tf

    from frostline.measure.batches import feed
    from frostline.measure.build import build

    model, _ = build(entry, SETTING, seed=0)
    found = feed(model, entry, SETTING, tf.distribute.get_strategy(), seed=0)
    assert inspected(entry).batch_size == 8
    assert found.examples_per_batch == examples
    assert len(next(found.batches)[0]) == 8


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (spec("strings"), "input 'words' takes strings"),
        (spec("called", kwargs='{"words": true}'), "an input of the model takes strings"),
        (spec("strict_lookup"), "are ids, but no id stays inside"),
        (spec("loss_of", kwargs='{"kind": "pairs"}'), "what targets the loss `pairs` of output"),
        (spec("asks_for_more"), "not enough values to unpack"),
        (spec("ragged"), "Padded is a subclassed model"),
        (spec("built", kwargs='{"by": "open"}'), r"shape \(batch, \?\), of which a size is open"),
        (spec("unknown_size", module="sample_models"), r"shape \(batch, \?, 3\)"),
    ],
)
def test_what_cannot_be_known_asks_for_data_before_any_trial(entry: Any, words: str) -> None:
    with pytest.raises(TrialError, match=words) as caught:
        inspected(entry)
    assert caught.value.kind == "NeedsData"
    assert str(caught.value).count("give the model entry `data`") == 1


def test_data_that_a_model_does_not_take_is_said_before_any_trial() -> None:
    with pytest.raises(TrialError, match="incompatible with the layer") as caught:
        inspected(spec("dense", data="short_rows", module="sample_models"))
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "kind", "words"),
    [
        (spec("a_layer"), "NotAModel", r"wrap the layer: keras.Sequential\(\[keras.Input\(shape\)"),
        (spec("not_a_model", module="sample_models"), "NotAModel", "returned int"),
        (
            spec("with_batches", kwargs='{"kind": "arrays"}'),
            "NotAModel",
            r"returned \(keras.Model, tuple\), .*\.from_tensor_slices",
        ),
        (
            spec("cut_off", module="sample_models"),
            "NoGradients",
            "Keras says 'No gradients provided",
        ),
        (spec("untrained", module="sample_models"), "NoGradients", "no trainable value moves"),
    ],
)
def test_what_cannot_work_is_refused_by_inspection(entry: Any, kind: str, words: str) -> None:
    with pytest.raises(TrialError, match=words) as caught:
        inspected(entry)
    assert caught.value.kind == kind


def test_data_that_is_no_dataset_is_refused() -> None:
    with pytest.raises(TrialError, match="returned tuple; return a tf") as caught:
        inspected(spec("dense", data="arrays_data", module="sample_models"))
    assert caught.value.kind == "NotADataset"


def test_a_builder_that_chooses_another_backend_is_refused(monkeypatch: Any) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # as a module of the user's may
    with pytest.raises(TrialError, match="sets KERAS_BACKEND to jax") as caught:
        inspected(spec("dense", module="sample_models"))
    assert caught.value.kind == "WrongBackend"


def test_ragged_batches_are_inspected() -> None:
    facts = inspected(spec("ragged", data="ragged_data"))
    assert [layer.name for layer in facts.layers] == ["emb", "out"]
    assert facts.batch_size == 4
    assert facts.by_name["out"].forward_flops == 2 * 4 * 4 + 4


@pytest.mark.parametrize("data", ["remainder_data", "python_data"])
def test_a_dataset_without_drop_remainder_is_fed_in_whole_cycles(data: str) -> None:
    import tensorflow as tf

    from frostline.measure.arm import Arm
    from frostline.measure.batches import feed
    from frostline.measure.build import build

    entry = spec("dense", data=data, module="sample_models")
    model, _ = build(entry, SETTING, seed=0)
    strategy = tf.distribute.get_strategy()
    found = feed(model, entry, SETTING, strategy, seed=0)
    assert (found.cycle, found.examples_per_batch) == (3, pytest.approx(10 / 3))
    (warning,) = found.warnings
    assert "whole cycles of its 3 batches with 10 examples" in warning

    arm = Arm(model, found.batches, strategy, cycle=found.cycle)
    arm.state.build()
    model.make_train_function()
    blocks = arm.warm_up()
    assert arm.block_steps % 3 == 0
    assert all(block.n_steps % 3 == 0 for block in blocks)
    assert (arm.whole_cycles(1), arm.whole_cycles(3), arm.whole_cycles(4)) == (3, 3, 6)
    assert arm.repeat_after(2) == ()
    assert arm.cycle == 6, "a step that alternates, on batches of three shapes"

    alike = feed(model, entry, replace(SETTING, batch_size=5), strategy, seed=0)
    assert (alike.cycle, alike.examples_per_batch, alike.warnings) == (1, 5, ())


def test_flops_of_a_batch_of_any_size_are_null_and_no_sum_of_the_rest() -> None:
    from fed_models import many_inputs

    from frostline.measure.inspect.model import inspect

    def flops(batch: int | None) -> dict[str, int | None]:
        import tensorflow as tf

        given = [tf.TensorSpec((batch, size)) for size in (6, 3)]
        facts = inspect(many_inputs(), "m", given, build_s=0.1, batch_size=2)
        return {layer.name: layer.forward_flops for layer in facts.layers}

    assert flops(2)["o1"] == 2 * 2 * 8 * 3 + 2 * 3
    assert set(flops(None).values()) == {None}


def test_lists_of_inputs_and_outputs_under_a_strategy() -> None:
    import tensorflow as tf

    from frostline.measure.arm import Arm
    from frostline.measure.batches import feed
    from frostline.measure.build import build

    setting = replace(SETTING, strategy="mirrored")
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    entry = spec("many_inputs")
    model, _ = build(entry, setting, seed=0, strategy=strategy)
    with strategy.scope():
        found = feed(model, entry, setting, strategy, seed=0)
    arm = Arm(model, found.batches, strategy)
    arm.state.build()
    model.make_train_function()
    assert arm.run(2).n_steps == 2


def test_several_inputs_outputs_and_subclassed_models_run_over_two_devices() -> None:
    """Each device has its part of a batch, and state is built from the part of one."""
    import several_devices

    ran = subprocess.run(
        [sys.executable, several_devices.__file__],
        env=os.environ | {"PYTHONPATH": source_root(), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.stdout.splitlines() == ["many_inputs", "ragged"], ran.stderr[-2000:]
