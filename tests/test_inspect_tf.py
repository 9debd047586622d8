"""Names, freezing and inspection of real Keras models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from frostline.costmodel.units import units_of
from frostline.errors import TrialError
from frostline.facts.model_facts import LayerFacts, ModelFacts
from frostline.policies import anchors, why_not

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def zoo() -> Any:
    import traced_models

    return traced_models


def inspected(zoo: Any, make: Any, **changes: Any) -> ModelFacts:
    from frostline.measure.inspect.model import inspect

    model = zoo.build(make)
    return inspect(model, "net", zoo.batch_for(model)[0], build_s=0.5, **changes)


def named(facts: ModelFacts, *names: str) -> tuple[LayerFacts, ...]:
    return tuple(facts.by_name[name] for name in names)


def test_a_nested_model_in_order_of_use_with_everything_planning_needs(zoo: Any) -> None:
    facts = inspected(zoo, zoo.vgg)
    names = ["vgg16/block1_conv1", "vgg16/block2_conv1", "fc", "head"]
    assert [layer.name for layer in facts.layers] == names
    assert [layer.index for layer in facts.layers] == [0, 1, 2, 3]
    assert [layer.block for layer in facts.layers] == ["vgg16", "vgg16", "fc", "head"]
    assert [layer.upstream for layer in facts.layers] == [tuple(names[:k]) for k in range(4)]
    assert [layer.uses for layer in facts.layers] == [1, 1, 1, 1]
    first = facts.layers[0]
    assert first.kind == "Conv2D"
    assert [(v.path, v.shape, v.params, v.is_bias) for v in first.variables] == [
        ("vgg16/block1_conv1/kernel", (3, 3, 3, 4), 108, False),
        ("vgg16/block1_conv1/bias", (4,), 4, True),
    ]
    # 2 images of 8x8 pixels: 3*3*3 products and sums for 4 channels, and one addition of the bias.
    assert first.forward_flops == 2 * 64 * 4 * (2 * 27 + 1)
    assert facts.head is not None
    assert facts.head.name == "head"
    assert (facts.name, facts.batch_size, facts.build_s) == ("net", 2, 0.5)
    assert facts.facts_warnings == ()


def test_facts_survive_json(zoo: Any) -> None:
    facts = inspected(zoo, zoo.attention)
    adapter = TypeAdapter(ModelFacts)
    assert adapter.validate_json(adapter.dump_json(facts)) == facts


def test_towers_are_not_upstream_of_each_other(zoo: Any) -> None:
    left, right, head = named(inspected(zoo, zoo.towers), "left", "right", "head")
    assert left.upstream == right.upstream == ()
    assert head.upstream == ("left", "right")


def test_a_norm_counts_its_scale_and_shift_and_leaves_its_statistics(zoo: Any) -> None:
    facts = inspected(zoo, lambda: zoo.residual(norm=True))
    norm = facts.by_name["norm"]
    assert norm.is_norm
    assert [variable.name for variable in norm.variables] == ["gamma", "beta"]
    assert not any(variable.is_bias for variable in norm.variables)
    assert facts.untrainable_params == 8
    assert norm.upstream == ("stem",)
    assert facts.by_name["conv2"].upstream == ("stem", "norm", "conv1")


def test_a_shared_layer_is_used_twice_and_is_not_its_own_upstream(zoo: Any) -> None:
    facts = inspected(zoo, zoo.shared)
    twice, head = named(facts, "twice", "head")
    assert twice.uses == 2
    assert twice.upstream == ("pre",)
    assert head.upstream == ("pre", "twice")
    # 2 examples: 4x4 products and sums and a bias of 4, twice.
    assert twice.forward_flops == 2 * 2 * (2 * 16 + 4)


def test_tied_weights_are_both_ends_of_the_model(zoo: Any) -> None:
    embed, middle = named(inspected(zoo, zoo.tied), "embed", "middle")
    assert embed.uses == 2
    assert embed.upstream == ("middle",)
    assert middle.upstream == ("embed",)
    assert embed.forward_flops is not None
    assert embed.forward_flops >= 2 * 2 * 5 * 4 * 11  # the output head's product


def test_positions_added_to_tokens_are_not_downstream_of_them(zoo: Any) -> None:
    facts = inspected(zoo, zoo.positions)
    tokens, places = named(facts, "embedded/tokens", "embedded/places")
    assert tokens.upstream == places.upstream == ()
    assert facts.by_name["head"].upstream == ("embedded/tokens", "embedded/places")


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("SimpleRNN", 1)])
def test_a_recurrent_layer_counts_its_cell_and_all_time_steps(
    zoo: Any, kind: str, gates: int
) -> None:
    rnn, head = named(inspected(zoo, lambda: zoo.recurrent(kind)), "rnn", "head")
    assert rnn.kind == kind
    assert [v.path for v in rnn.variables] == ["rnn/kernel", "rnn/recurrent_kernel", "rnn/bias"]
    assert rnn.upstream == ("pre",)
    assert rnn.uses == 1
    assert head.upstream == ("pre", "rnn")
    products = 5 * 2 * 2 * (4 + 4) * 4 * gates  # 5 steps, 2 examples
    assert rnn.forward_flops is not None
    assert products < rnn.forward_flops < 2 * products


def test_wrappers_are_entered(zoo: Any) -> None:
    facts = inspected(zoo, zoo.bidirectional)
    assert [layer.name for layer in facts.layers] == [
        "both/forward_gru",
        "both/backward_gru",
        "each/inner",
    ]
    inner = facts.by_name["each/inner"]
    assert inner.upstream == ("both/forward_gru", "both/backward_gru")
    assert inner.uses == 1
    assert [layer.block for layer in facts.layers] == ["both", "both", "each"]


def test_attention_is_its_inner_layers(zoo: Any) -> None:
    facts = inspected(zoo, zoo.attention)
    query, out = named(facts, "mha/query", "mha/attention_output")
    assert query.block == "mha"
    assert query.upstream == ("pre",)
    assert set(out.upstream) == {"pre", "mha/query", "mha/key", "mha/value"}


def test_a_layer_that_owns_variables_and_layers_is_downstream_of_what_it_scales(zoo: Any) -> None:
    facts = inspected(zoo, zoo.scaled)
    inner, outer = named(facts, "branch/inner", "branch")
    assert inner.upstream == ("pre",)
    assert outer.upstream == ("pre", "branch/inner")


def test_a_model_that_cannot_be_called_fails_with_its_own_words(zoo: Any) -> None:
    import tensorflow as tf

    from frostline.measure.inspect.model import inspect

    model = zoo.build(zoo.vgg)
    with pytest.raises(TrialError, match="calling model") as caught:
        inspect(model, "net", tf.TensorSpec((2, 5)), build_s=0.0)
    assert caught.value.stage == "trace"


def test_a_subclassed_model_that_was_never_called_is_built_first(zoo: Any) -> None:
    import tensorflow as tf

    from frostline.measure.inspect.model import inspect

    facts = inspect(zoo.build(zoo.Tied), "net", tf.TensorSpec((3, 5), tf.int32), build_s=0.0)
    assert {layer.name for layer in facts.layers} == {"embed", "middle"}
    assert facts.batch_size == 3


def test_layers_that_the_forward_pass_leaves_out_come_last_with_a_warning(zoo: Any) -> None:
    import keras

    class Idle(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.idle = keras.layers.Dense(2, name="idle")
            self.busy = keras.layers.Dense(2, name="busy")
            self.idle.build((None, 4))

        def call(self, x: Any) -> Any:
            return self.busy(x)

    import tensorflow as tf

    from frostline.measure.inspect.model import inspect

    facts = inspect(zoo.build(Idle), "net", tf.TensorSpec((2, 4)), build_s=0.0)
    assert [layer.name for layer in facts.layers] == ["busy", "idle"]
    assert facts.by_name["idle"].uses == 0
    assert "idle" in facts.facts_warnings[0]


def test_names_are_unique_and_the_same_at_each_build(zoo: Any) -> None:
    import keras

    from frostline.measure.layers import owned_layers

    class Twins(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [keras.layers.Dense(2, name="part") for _ in range(3)]
            self.again = self.parts[0]
            self.scale = self.add_weight(shape=(2,), name="scale")

        def call(self, x: Any) -> Any:
            for part in self.parts:
                x = part(x)
            return self.again(x) * self.scale

    def names() -> list[str]:
        model = zoo.build(Twins)
        model(keras.ops.ones((2, 2)))
        return [variable.path for layer in owned_layers(model) for variable in layer.variables]

    expected = ["part", "part_1", "part_2"]
    assert names() == names()
    assert names() == [
        "twins/scale",
        *(f"{layer}/{variable}" for layer in expected for variable in ("kernel", "bias")),
    ]


def test_stacked_cells_and_variables_tracked_twice_have_one_owner(zoo: Any) -> None:
    import keras

    from frostline.measure.layers import owned_layers

    def make() -> Any:
        cells = [keras.layers.LSTMCell(2, name="low"), keras.layers.GRUCell(3, name="high")]
        inputs = keras.Input((5, 4))
        x = keras.layers.RNN(keras.layers.StackedRNNCells(cells), name="stack")(inputs)
        inner = keras.layers.Dense(2, name="inner")
        return keras.Model(inputs, keras.layers.SpectralNormalization(inner, name="spectral")(x))

    found = {
        layer.name: [variable.path for variable in layer.variables]
        for layer in owned_layers(zoo.build(make))
    }
    parts = ("kernel", "recurrent_kernel", "bias")
    assert found == {
        "stack": [f"stack/{cell}/{part}" for cell in ("low", "high") for part in parts],
        "spectral/inner": ["spectral/inner/kernel", "spectral/inner/bias"],
    }


def test_an_activation_behind_stacked_cells_goes_with_the_layer_that_holds_them(zoo: Any) -> None:
    import keras

    def make() -> Any:
        cells = [keras.layers.LSTMCell(2, name="low"), keras.layers.GRUCell(3, name="high")]
        inputs = keras.Input((5, 4))
        x = keras.layers.Dense(4, name="pre")(inputs)
        x = keras.layers.RNN(keras.layers.StackedRNNCells(cells), name="stack")(x)
        return keras.Model(
            inputs, keras.layers.Dense(1, name="head")(keras.layers.ReLU(name="act")(x))
        )

    facts, graph = inspected(zoo, make), zoo.trace(make).graph
    assert "stack/high/kernel" in graph.variables
    found = units_of(facts, graph)
    assert {name: found[name] for name in ("pre", "stack", "act", "head")} == {
        "pre": "pre", "stack": "stack", "act": "stack", "head": "head",
    }  # fmt: skip


def test_freezing_a_whole_layer_is_what_a_keras_user_does(zoo: Any) -> None:
    from frostline.measure.layers import freeze, owned_layers

    model = zoo.build(lambda: zoo.residual(norm=True))
    owned = owned_layers(model)
    freeze(model, ["norm/gamma", "norm/beta", "stem/bias"])
    assert model.get_layer("norm").trainable is False  # inference mode
    assert model.get_layer("stem").trainable is True
    trained = {id(variable) for variable in model.trainable_variables}
    still = {
        variable.path
        for layer in owned
        for variable in layer.variables
        if id(variable.variable) not in trained
    }
    assert still == {"norm/gamma", "norm/beta", "stem/bias"}


def test_freezing_half_a_norm_leaves_it_in_training_mode(zoo: Any) -> None:
    from frostline.measure.layers import freeze

    model = zoo.build(lambda: zoo.residual(norm=True))
    freeze(model, ["norm/gamma"])
    assert model.get_layer("norm").trainable is True
    assert not model.get_layer("norm").gamma.trainable


def test_freezing_a_layer_leaves_the_layers_inside_of_it_alone(zoo: Any) -> None:
    from frostline.measure.layers import freeze

    model = zoo.build(zoo.scaled)
    freeze(model, ["branch/scale"])
    branch = model.get_layer("branch")
    assert not branch.scale.trainable
    assert len(branch.inner.trainable_variables) == 2


@pytest.mark.parametrize("make", ["vgg", "shared", "tied", "bidirectional", "attention", "scaled"])
def test_a_layers_name_freezes_what_its_trainable_freezes(zoo: Any, make: str) -> None:
    from frostline.measure.layers import MODEL_PATH, all_layers, freeze
    from frostline.policies import expand
    from frostline.policies.units import layer_names

    facts = inspected(zoo, getattr(zoo, make))
    model = zoo.build(getattr(zoo, make))
    assert {"", *layer_names(facts)} >= {
        path for path, layers in all_layers(model).items() if layers[0].trainable_weights
    }
    for name in layer_names(facts):
        by_policy, by_keras = zoo.build(getattr(zoo, make)), zoo.build(getattr(zoo, make))
        for layer in all_layers(by_keras).get(name, all_layers(by_keras)[MODEL_PATH]):
            layer.trainable = False
        if not by_keras.trainable_variables:
            continue
        (one,) = expand(f"layer:{name}", facts)
        freeze(by_policy, one.frozen_variables)
        assert [v.path for v in by_policy.trainable_variables] == [
            v.path for v in by_keras.trainable_variables
        ], name


def test_what_the_builder_froze_is_no_layer(zoo: Any) -> None:
    from frostline.measure.layers import owned_layers

    model = zoo.build(zoo.vgg)
    model.get_layer("vgg16").trainable = False
    assert [layer.name for layer in owned_layers(model)] == ["fc", "head"]


def test_freezing_what_is_not_there_is_refused_by_name(zoo: Any) -> None:
    from frostline.measure.layers import freeze

    with pytest.raises(TrialError, match="nowhere/kernel"):
        freeze(zoo.build(zoo.vgg), ["nowhere/kernel"])


def of_step(name: str, data: str | None = None) -> ModelFacts:
    """Facts of a sample model, from its training step."""
    from frostline.measure.inspect.answer import inspect_request
    from frostline.measure.messages import InspectModel
    from frostline.trial import ModelSpec, Setting

    model = ModelSpec(
        name=name,
        builder=f"sample_models:{name}",
        kwargs_json="{}",
        loss=None,
        metrics=(),
        data=None if data is None else f"sample_models:{data}",
        search_path=(str(Path(__file__).parent),),
    )
    setting = Setting(
        batch_size=4, optimizer=None, precision="float32", jit_compile="auto", strategy="single"
    )
    request = InspectModel(model=model, setting=setting, seed=5, log_path="x")
    return inspect_request(request, lambda stage: None).facts


def wiring_of(facts: ModelFacts) -> dict[str, tuple[str, ...]]:
    return {layer.name: layer.upstream for layer in facts.layers}


def trained_by(facts: ModelFacts) -> dict[str, set[str]]:
    """What each anchor trains."""
    return {
        anchor.name: {v.layer for v in facts.variables if v.path not in anchor.frozen_variables}
        for anchor in anchors(facts)
    }


def test_a_gan_is_wired_as_its_step_trains_it_and_not_as_it_is_called(zoo: Any) -> None:
    facts = of_step("gan", "pairs_of_six")
    assert wiring_of(facts) == {
        "gen/g1": (),
        "gen/g2": ("gen/g1",),
        "disc/d1": ("gen/g1", "gen/g2"),
        "disc/d2": ("disc/d1", "gen/g1", "gen/g2"),
    }
    assert [layer.uses for layer in facts.layers] == [2, 2, 2, 2]
    assert facts.head is not None
    assert facts.head.name == "disc/d2"
    assert facts.facts_warnings == (), "no alarm about a step that was traced twice"


def test_each_optimizer_of_a_gan_is_left_something_by_every_anchor(zoo: Any) -> None:
    """The step gives an optimizer no gradient where nothing of its part trains, and fails."""
    facts = of_step("gan", "pairs_of_six")
    parts = [{name.split("/")[0] for name in group} for group in facts.must_train]
    assert parts == [{"disc"}, {"gen"}]
    for trained in trained_by(facts).values():
        assert {name.split("/")[0] for name in trained} == {"disc", "gen"}
    generator = frozenset(v.path for v in facts.variables if v.layer.startswith("gen/"))
    assert why_not(facts, generator) == (
        "the training step fails where none of `gen/g1`, `gen/g2` trains"
    )
    assert why_not(facts, generator - {"gen/g1/bias"}) is None


def test_a_model_without_call_is_inspected_by_its_step(zoo: Any) -> None:
    facts = of_step("autoencoder", "pairs_of_six")
    assert wiring_of(facts) == {"encoder/code": (), "decoder/out": ("encoder/code",)}
    assert facts.layers[0].forward_flops is not None
    assert facts.must_train == ()


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_behind_a_stop_gradient_nothing_is_upstream_and_no_anchor_trains_it_alone(zoo: Any) -> None:
    facts = of_step("behind_stop_gradient")
    assert wiring_of(facts) == {"cut": (), "middle": (), "head": ("middle",)}
    assert [layer.has_gradient for layer in facts.layers] == [False, True, True]
    assert trained_by(facts) == {
        "trainable": {"cut", "middle", "head"},
        "pruned": {"head"},
        "pass_through": {"middle"},
    }
    assert facts.facts_warnings == (
        "no gradient reaches these layers, so freezing them saves no backward pass: cut",
    )
    rest = frozenset(v.path for v in facts.variables if v.layer != "cut")
    assert why_not(facts, rest) == (
        "it leaves nothing to train that the loss depends on (no gradient reaches `cut`)"
    )


def test_what_the_step_never_trains_is_no_layer(zoo: Any) -> None:
    """GIVEN a teacher whose `trainable` nobody has set to False."""
    facts = of_step("distiller", "pairs_of_six")
    assert [layer.name for layer in facts.layers] == ["student/low", "student/high"]
    assert facts.untrainable_params == facts.total_params, "the teacher is as large"
    assert facts.facts_warnings == (
        "the training step asks for no gradients of these layers, so they count as frozen: "
        "teacher/low, teacher/high",
    )


def test_a_layer_that_assigns_its_own_kernel_is_said_to(zoo: Any) -> None:
    facts = of_step("siamese_spectral")
    assert wiring_of(facts)["enc/low"] == ("enc/spectral/inner",)
    assert facts.facts_warnings == (
        "these variables are assigned by their own layer in every step, frozen or not: "
        "enc/spectral/inner/kernel",
    )
    assert set(trained_by(facts)) == {"trainable", "pruned", "pass_through"}


def test_a_step_without_a_gradient_is_refused_before_anything_runs(zoo: Any) -> None:
    with pytest.raises(TrialError) as caught:
        of_step("cut_off")
    assert (caught.value.stage, caught.value.kind) == ("check", "NoGradients")
