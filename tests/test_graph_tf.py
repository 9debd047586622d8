"""Traced training steps of real Keras models: passes, layers, needs, and what freezing removes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frostline.attribute.attribute import attribute
from frostline.attribute.frozen import check_frozen
from frostline.attribute.step_graph import BACKWARD, StepGraph
from frostline.trace.converter import TraceConverter

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def zoo() -> Any:
    import traced_models

    return traced_models


def test_every_convolution_gradient_of_a_nested_model_is_told_apart(zoo: Any) -> None:
    step = zoo.trace(zoo.vgg, optimizer="adam")
    dw = step.passes("Conv2DBackpropFilter")
    dx = step.passes("Conv2DBackpropInput")
    assert dw == {
        "vgg16/block1_conv1": {"weight_gradient"},
        "vgg16/block2_conv1": {"weight_gradient"},
    }
    # The first layer's input gradient exists in the raw graph and reaches nothing.
    assert dx == {"vgg16/block2_conv1": {"activation_gradient"}, None: {"other"}}
    assert step.passes("MaxPoolGrad") == {"vgg16/block1_pool": {"activation_gradient"}}
    assert step.warnings == ()


def test_matmuls_are_told_apart_by_the_graph_where_their_names_cannot(zoo: Any) -> None:
    step = zoo.trace(zoo.shared)
    found = {
        (op.layer, op.pass_, frozenset(step.needs(op)))
        for op in step.graph.ops
        if op.op_type == "MatMul" and op.pass_ != "forward"
    }
    before = {"pre/kernel", "pre/bias"}
    assert found == {
        ("pre", "weight_gradient", frozenset({"pre/kernel"})),
        ("twice", "weight_gradient", frozenset({"twice/kernel"})),
        ("twice", "activation_gradient", frozenset(before)),
        ("twice", "activation_gradient", frozenset({*before, "twice/kernel", "twice/bias"})),
        ("head", "weight_gradient", frozenset({"head/kernel"})),
        ("head", "activation_gradient", frozenset({*before, "twice/kernel", "twice/bias"})),
    }


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"optimizer": "adam"}, id="adam"),
        pytest.param({"clip": 1.0}, id="global_clipnorm"),
        pytest.param({"policy": "mixed_float16"}, id="loss_scaling"),
        pytest.param({"jit": True}, id="xla"),
        pytest.param({"dataset": True}, id="tf.data"),
    ],
)
def test_optimizer_precision_compiler_and_input_change_no_ops_pass(
    zoo: Any, settings: dict[str, Any]
) -> None:
    import keras

    settings = dict(settings)
    if clip := settings.pop("clip", None):
        settings["optimizer"] = keras.optimizers.Adam(global_clipnorm=clip)
    if settings.get("policy"):
        settings["optimizer"] = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())
    step = zoo.trace(zoo.residual, **settings)
    convolutions = ["stem", "conv1", "conv2"]
    assert step.passes("Conv2DBackpropFilter") == {
        name: {"weight_gradient"} for name in convolutions
    }
    assert step.passes("Conv2DBackpropInput") == {
        "conv1": {"activation_gradient"},
        "conv2": {"activation_gradient"},
        None: {"other"},
    }
    every = set(step.graph.variables)
    assert step.facts.gradient_variables == every
    assert step.facts.assigned_variables == every
    assert set(step.graph.trained) == every
    assigns = {op.pass_ for op in step.graph.ops if op.op_type == "AssignSubVariableOp"}
    assert assigns == {"optimizer"}
    updated = {op.layer for op in step.graph.ops if op.op_type == "AssignSubVariableOp"}
    assert updated == {*convolutions, "head"}
    # Whether the update is made, and after how many of them the loss scale grows.
    decides = {op.pass_ for op in step.graph.ops if op.op_type in ("IsFinite", "If", "Equal")}
    assert decides == ({"optimizer"} if settings.get("policy") else set())


def test_a_dataset_iterator_puts_the_step_behind_a_call(zoo: Any) -> None:
    step = zoo.trace(zoo.residual, dataset=True)
    assert {op.pass_ for op in step.graph.ops if op.op_type == "IteratorGetNext"} == {"input"}
    forward = [op for op in step.graph.ops if op.op_type == "Conv2D"]
    assert all(op.op_name.startswith("StatefulPartitionedCall/") for op in forward)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_a_recurrent_layers_loop_is_split_by_pass(zoo: Any, kind: str) -> None:
    step = zoo.trace(lambda: zoo.recurrent(kind))
    inside = [op for op in step.graph.ops if "_grad/" in op.op_name and op.op_type == "MatMul"]
    split = {(op.layer, op.pass_, frozenset(step.needs(op))) for op in inside}
    before = frozenset({"pre/kernel", "pre/bias"})
    assert ("rnn", "weight_gradient", frozenset({"rnn/kernel"})) in split
    assert ("rnn", "weight_gradient", frozenset({"rnn/recurrent_kernel"})) in split
    assert ("rnn", "activation_gradient", before) in split
    kept = [op for op in step.graph.ops if op.op_type == "TensorListPushBack" and op.needed_by]
    assert kept
    assert {op.layer for op in kept} == {"rnn"}


def test_wrapped_layers_get_their_own_ops(zoo: Any) -> None:
    step = zoo.trace(zoo.bidirectional)
    gradients = {
        (op.layer, op.pass_)
        for op in step.graph.ops
        if op.op_type == "MatMul" and op.needed_by and (op.layer or "").startswith("each")
    }
    assert gradients == {
        ("each/inner", "weight_gradient"),
        ("each/inner", "activation_gradient"),
    }
    layers = {op.layer for op in step.graph.ops if op.pass_ == "weight_gradient"}
    assert layers == {"both/forward_gru", "both/backward_gru", "each/inner"}


def test_attention_has_gradients_of_its_own_between_its_inner_layers(zoo: Any) -> None:
    step = zoo.trace(zoo.attention)
    own = [op for op in step.graph.ops if op.layer == "mha" and op.needed_by]
    assert {op.pass_ for op in own} == {"activation_gradient"}
    inner = {op.layer for op in step.graph.ops if op.pass_ == "weight_gradient"}
    assert {"mha/query", "mha/key", "mha/value", "mha/attention_output"} <= inner
    query = {"mha/query/kernel", "mha/query/bias"}
    assert not any(query & step.needs(op) for op in step.graph.ops if op.layer == "mha/value")


def test_tied_weights_gather_gradients_from_both_ends(zoo: Any) -> None:
    step = zoo.trace(zoo.tied)
    products = {
        (op.layer, op.pass_, frozenset(step.needs(op)))
        for op in step.graph.ops
        if op.op_type == "MatMul" and op.needed_by
    }
    middle = frozenset({"middle/kernel", "middle/bias"})
    # The output head is the embedding's: its dX serves the embedding too, and what is between.
    assert products == {
        ("embed", "weight_gradient", frozenset({"embed/embeddings"})),
        ("embed", "activation_gradient", middle | {"embed/embeddings"}),
        ("middle", "weight_gradient", frozenset({"middle/kernel"})),
        ("middle", "activation_gradient", frozenset({"embed/embeddings"})),
    }


def test_a_train_step_of_ones_own_is_seen_through(zoo: Any) -> None:
    step = zoo.trace(zoo.custom)
    assert step.facts.gradient_variables == set(step.graph.variables)
    backward = {op.layer for op in step.graph.ops if op.pass_ == "weight_gradient"}
    assert backward == {"first", "head"}


def test_two_tapes_in_one_step_are_both_seen(zoo: Any) -> None:
    step = zoo.trace(zoo.sharpness_aware)
    assert len(step.recorder.tape_calls) == 2
    products = Counter(
        (op.layer, op.pass_) for op in step.graph.ops if op.op_type == "MatMul" and op.layer
    )
    assert products == {
        ("first", "forward"): 2,
        ("head", "forward"): 2,
        ("first", "weight_gradient"): 2,
        ("head", "weight_gradient"): 2,
        ("head", "activation_gradient"): 2,
    }


def test_a_tape_inside_of_a_layers_own_gradient_asks_for_nothing_itself(zoo: Any) -> None:
    step = zoo.trace(zoo.recomputed, frozen=["again/inner/kernel", "again/inner/bias"])
    assert len(step.recorder.tape_calls) == 1
    trained = {"below/kernel", "below/bias", "head/kernel", "head/bias"}
    assert step.facts.gradient_variables == trained
    credited = {op.layer for op in step.graph.ops if op.pass_ == "weight_gradient"}
    assert credited == {"below", "head"}
    assert zoo.trace(zoo.recomputed).passes("MatMul")["again/inner"] == {
        "forward", "weight_gradient", "activation_gradient", "other",
    }  # fmt: skip


def test_what_a_tape_gives_twice_from_equal_values_is_known_to_be_computed_once(zoo: Any) -> None:
    step = zoo.trace(zoo.asked_twice)
    run: dict[int, list[tuple[str, str, set[str]]]] = {}
    for number, op in enumerate(step.graph.ops):
        if op.op_type == "MatMul" and op.pass_ in BACKWARD:
            first = number if op.repeats is None else op.repeats
            run.setdefault(first, []).append((op.layer, op.pass_, step.needs(op)))
    dx = "activation_gradient"
    assert list(run.values()) == [
        [
            ("head", dx, {"below/kernel", "below/bias"}),
            ("head", dx, {"above/kernel", "above/bias"}),
        ],
        [("above", dx, {"below/kernel", "below/bias"})],
        [("below", "weight_gradient", {"below/kernel"})],
        [("head", "weight_gradient", {"head/kernel"})],
        [("above", "weight_gradient", {"above/kernel"})],
    ]


def test_random_numbers_and_reads_of_variables_repeat_nothing(zoo: Any) -> None:
    ops = zoo.trace(zoo.asked_twice).graph.ops
    assert any(op.op_type == "ReadVariableOp" for op in ops)
    assert not any(op.repeats is not None for op in ops if op.op_type == "ReadVariableOp")


def test_a_function_called_by_a_layer_is_entered_and_so_is_its_gradient(zoo: Any) -> None:
    step = zoo.trace(zoo.function_inside)
    products = {
        (op.pass_, frozenset(step.needs(op)))
        for op in step.graph.ops
        if op.op_type == "MatMul" and op.layer == "function/inner"
    }
    assert products == {
        ("forward", frozenset()),
        ("weight_gradient", frozenset({"function/inner/kernel"})),
        ("activation_gradient", frozenset({"pre/kernel", "pre/bias"})),
    }
    assert step.warnings == ()


def test_a_function_that_xla_compiles_by_itself_has_its_gradient_as_a_whole(zoo: Any) -> None:
    """GIVEN two grouped convolutions THEN each has its own gradients, and a frozen one pays its
    weight gradient as long as one below it trains."""
    step = zoo.trace(zoo.grouped)
    own = {number: {f"grouped{number}/kernel"} for number in range(2)}
    below = {"stem/kernel", "stem/bias"}
    expected = {
        "grouped0": ("activation_gradient", own[0] | below),
        "grouped1": ("activation_gradient", own[1] | own[0] | {"grouped0/bias"} | below),
    }
    for kind in ("Conv2DBackpropInput", "Conv2DBackpropFilter"):
        found = {
            op.layer: (op.pass_, step.needs(op))
            for op in step.graph.ops
            if op.op_type == kind and (op.layer or "").startswith("grouped")
        }
        assert found == expected
    (warning,) = step.warnings
    assert "the gradient of `grouped0`, `grouped1` as a whole" in warning

    frozen = zoo.trace(zoo.grouped, frozen=own[1])
    assert {
        op.layer: op.pass_ for op in frozen.graph.ops if op.op_type == "Conv2DBackpropFilter"
    } == {
        "grouped1": "activation_gradient",
        "grouped0": "activation_gradient",
        "stem": "weight_gradient",
    }


def test_where_xla_compiles_the_step_it_leaves_out_what_nobody_needs(zoo: Any) -> None:
    step = zoo.trace(zoo.grouped, jit=True)
    assert step.warnings == ()
    assert {
        op.layer: (op.pass_, step.needs(op))
        for op in step.graph.ops
        if op.op_type == "Conv2DBackpropFilter"
    } == {
        name: ("weight_gradient", {f"{name}/kernel"}) for name in ("stem", "grouped0", "grouped1")
    }


def test_a_regulariser_and_its_gradient_belong_to_its_layer(zoo: Any) -> None:
    step = zoo.trace(zoo.regularised)
    squares = [op for op in step.graph.ops if op.op_type == "Square" and op.layer is not None]
    assert {(op.layer, op.pass_) for op in squares} == {("first", "forward")}
    sums = [op for op in step.graph.ops if op.op_type == "AddN" and op.needed_by]
    assert {(op.layer, op.pass_) for op in sums} == {("first", "weight_gradient")}


def test_statistics_of_a_norm_are_forward_and_its_freezing_shows_in_the_facts(zoo: Any) -> None:
    step = zoo.trace(lambda: zoo.residual(norm=True))
    assigned = {
        op.pass_ for op in step.graph.ops if op.op_type == "AssignVariableOp" and op.layer == "norm"
    }
    assert assigned == {"forward"}
    frozen = {"norm/gamma", "norm/beta", "stem/bias"}
    after = zoo.trace(lambda: zoo.residual(norm=True), frozen=frozen)
    every = set(step.graph.variables)
    assert after.graph.variables == step.graph.variables
    assert after.facts.gradient_variables == every - frozen == set(after.graph.trained)
    assert after.facts.assigned_variables == every - frozen
    # Inference mode: nothing updates the statistics any more.
    assert not any(
        op.op_type == "AssignVariableOp" and op.layer == "norm" for op in after.graph.ops
    )


def test_an_eager_step_gives_no_graph_but_a_reason(zoo: Any) -> None:
    step = zoo.trace(zoo.towers, eager=True)
    assert step.graph is None
    assert step.facts.assigned_variables is None
    assert step.facts.gradient_variables is not None
    assert "head/kernel" in step.facts.gradient_variables
    assert "not traced" in step.warnings[0]


def test_tracing_is_the_same_with_and_without_the_recorder(zoo: Any) -> None:
    import itertools

    import keras
    import tensorflow as tf

    before = (keras.Layer.__dict__["__call__"], tf.GradientTape.__dict__["gradient"])

    def step_of(record: bool) -> list[tuple[str, str]]:
        from contextlib import nullcontext

        from frostline.measure.graph.recorder import StepRecorder

        model = zoo.build(zoo.recurrent)
        model.compile("sgd", "mse", jit_compile=False)
        model.optimizer.build(model.trainable_variables)
        graphs = []

        @tf.function(autograph=False)
        def step(data: Any) -> Any:
            graphs.append(tf.compat.v1.get_default_graph())
            return model.train_step(data)

        with StepRecorder(model) if record else nullcontext():
            step(next(itertools.repeat(zoo.batch_for(model))))
        return [(op.name, op.type) for op in graphs[-1].get_operations()]

    assert step_of(record=True) == step_of(record=False)
    assert before == (keras.Layer.__dict__["__call__"], tf.GradientTape.__dict__["gradient"])


def test_originals_are_back_after_a_step_that_raises(zoo: Any) -> None:
    import keras
    from tensorflow.python.framework import ops

    from frostline.measure.graph.recorder import StepRecorder

    before = (keras.Layer.__call__, ops.Graph._create_op_internal)
    with pytest.raises(RuntimeError, match="user"), StepRecorder(zoo.build(zoo.towers)):
        raise RuntimeError("user")
    assert before == (keras.Layer.__call__, ops.Graph._create_op_internal)


def test_a_recorder_keeps_no_model_alive(zoo: Any) -> None:
    import gc
    import weakref

    step = zoo.trace(zoo.towers)
    model, variable, recorder = (
        weakref.ref(step.model),
        weakref.ref(step.owned[0].variables[0].variable),
        step.recorder,
    )
    del step
    gc.collect()
    assert model() is None
    assert variable() is None
    assert recorder.model is None


def test_a_step_graph_survives_its_file(zoo: Any, tmp_path: Path) -> None:
    graph = zoo.trace(zoo.towers).graph
    graph.save(tmp_path / "graph.json")
    assert StepGraph.load(tmp_path / "graph.json") == graph


def ops_left(graph: StepGraph, trained: set[str]) -> Counter[str]:
    """Prediction: forward ops, and those that some trained variable needs."""
    live = {i for i, path in enumerate(graph.variables) if path in trained}
    return Counter(
        op.op_type for op in graph.ops if op.pass_ == "forward" or live & set(op.needed_by)
    )


def ops_pruned_by_tensorflow(step: Any) -> Counter[str]:
    """Truth: the traced function pruned by TensorFlow to gradients, losses, outputs, metrics."""
    import tensorflow as tf

    [graph] = {call.graph() for call in step.recorder.tape_calls}
    kept = {tensor.op.name for tensor in graph.outputs}
    for call in step.recorder.tape_calls:
        kept |= {target.op_name for target in call.targets}
        kept |= {ref.op_name for gradient in call.gradients for ref in gradient.tensors}
    counter = {id(step.model.optimizer.iterations.value.handle)}
    handles = {id(inner.op): id(outer) for outer, inner in graph.captures}
    kept |= {
        op.name
        for op in graph.get_operations()
        if op.type == "AssignVariableOp" and handles[id(op.inputs[0].op)] not in counter
    }
    definition = graph.as_graph_def()
    for node in definition.node:
        data = [name for name in node.input if not name.startswith("^")]
        del node.input[:]
        node.input.extend(data)
    arguments = {tensor.op.name for tensor in graph.inputs}
    pruned = tf.compat.v1.graph_util.extract_sub_graph(definition, sorted(kept))
    return Counter(node.op for node in pruned.node if node.name not in arguments)


@pytest.mark.parametrize("architecture", ["vgg", "residual", "attention", "shared"])
def test_freezing_leaves_exactly_the_ops_that_the_baselines_graph_says(
    zoo: Any, architecture: str
) -> None:
    # GIVEN the baseline's graph
    make = getattr(zoo, architecture)
    baseline = zoo.trace(make)
    assert ops_left(baseline.graph, set(baseline.graph.variables)) == ops_pruned_by_tensorflow(
        baseline
    )
    paths = baseline.graph.variables
    middle = len(paths) // 2
    for frozen in (paths[:middle], paths[middle:], paths[::2], paths[:-1], paths[1:2]):
        # WHEN some variables are frozen and the step is traced anew
        after = zoo.trace(make, frozen=frozen)
        # THEN TensorFlow's own pruning leaves, op type by op type, what was predicted
        trained = set(paths) - set(frozen)
        assert ops_left(baseline.graph, trained) == ops_pruned_by_tensorflow(after)


@pytest.fixture(scope="module")
def converter() -> Iterator[TraceConverter]:
    with TraceConverter() as running:
        yield running


Folders = pytest.TempPathFactory
UNTIMED = settings(derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("architecture", ["normed", "attention", "shared", "recurrent"])
@settings(UNTIMED, max_examples=3)
@given(data=st.data())
def test_whatever_is_frozen_has_no_time_for_its_gradient_and_what_trains_has(
    zoo: Any,
    converter: TraceConverter,
    tmp_path_factory: Folders,
    architecture: str,
    data: st.DataObject,
) -> None:
    make = normed(zoo) if architecture == "normed" else getattr(zoo, architecture)
    frozen = data.draw(frozen_sets(zoo, make))
    check_gradients_have_time_where_they_should(zoo, converter, tmp_path_factory, make, frozen)


@settings(UNTIMED, max_examples=2)
@given(data=st.data())
def test_whatever_is_frozen_has_no_time_for_its_gradient_under_xla_either(
    zoo: Any, converter: TraceConverter, tmp_path_factory: Folders, data: st.DataObject
) -> None:
    make = normed(zoo)
    frozen = data.draw(frozen_sets(zoo, make))
    check_gradients_have_time_where_they_should(
        zoo, converter, tmp_path_factory, make, frozen, jit=True
    )


def normed(zoo: Any) -> Any:
    return partial(zoo.residual, norm=True)


def frozen_sets(zoo: Any, make: Any) -> st.SearchStrategy[set[str]]:
    """Any set of variables but all of them and none."""
    owned = owned_variables(zoo, make)
    return st.sets(st.sampled_from(sorted(owned)), min_size=1, max_size=len(owned) - 1)


def check_gradients_have_time_where_they_should(
    zoo: Any,
    converter: TraceConverter,
    folders: Folders,
    make: Any,
    frozen: set[str],
    *,
    jit: bool = False,
) -> None:
    # WHEN variables are frozen, the step is traced and profiled, and the profile attributed
    owned = owned_variables(zoo, make)
    step = zoo.trace(make, frozen=frozen, jit=jit)
    profile = zoo.profile(step, folders.mktemp("profile"))
    costs = attribute(converter.convert(profile, deadline_s=60), step.graph)
    # THEN no layer with nothing left to train has weight gradients, and the ops that ran are
    # needed by exactly the variables that train
    layers = set(owned.values())
    training = {layer for path, layer in owned.items() if path not in frozen}
    check_frozen(costs, step.graph, frozen_variables=frozen, frozen_layers=layers - training)
    credited = {cost.layer for cost in costs if cost.pass_ == "weight_gradient"}
    assert credited <= training
    needs = {op.op_name: step.needs(op) for op in step.graph.ops}
    served = set().union(
        *(needs[cost.graph_op] for cost in costs if cost.graph_op and cost.pass_ != "other")
    )
    assert not served & frozen
    assert served == set(owned) - frozen


def owned_variables(zoo: Any, make: Any) -> dict[str, str]:
    """The layer of each variable."""
    return {
        variable.path: layer.name
        for layer in zoo.owned_layers(zoo.build(make))
        for variable in layer.variables
    }


@pytest.mark.parametrize(
    ("kind", "cycle"), [("remainder", 3), ("mask", 4), ("flag", 2), ("no", 1), ("random", 1)]
)
def test_a_step_that_alternates_says_after_how_many_steps_it_repeats(
    zoo: Any, kind: str, cycle: int
) -> None:
    import keras
    import tensorflow as tf

    class Alternating(keras.Model):
        def build_counters(self) -> None:
            self.counter = tf.Variable(0, trainable=False)
            self.flag = tf.Variable(False, trainable=False)
            self.seed = keras.random.SeedGenerator(3)

        def train_step(self, data: Any) -> Any:
            turn = {
                "remainder": lambda: self.counter % 3 == 0,
                "mask": lambda: tf.bitwise.bitwise_and(self.counter, 3) == 0,
                "flag": lambda: self.flag.value(),
                "random": lambda: keras.random.uniform((), seed=self.seed) < 0.5,
                "no": lambda: tf.shape(data[0])[0] % 5 == 0,
            }[kind]()
            self.counter.assign_add(1)
            self.flag.assign(tf.logical_not(self.flag))
            tf.cond(turn, lambda: tf.constant(1), lambda: tf.constant(2))
            return super().train_step(data)

    def make() -> Any:
        inputs = keras.Input((4,))
        model = Alternating(inputs, keras.layers.Dense(2, name="head")(inputs))
        model.build_counters()
        return model

    assert zoo.trace(make).facts.cycle == cycle


def test_ops_of_loops_that_have_no_graph_are_of_their_loop(zoo: Any) -> None:
    """The loops of TensorFlow's CTC loss are functions as TensorFlow 1 kept them."""
    import keras
    import numpy as np

    from frostline.measure.graph.recorder import StepRecorder
    from frostline.measure.graph.step import analyse_step
    from frostline.measure.layers import owned_layers

    model = keras.Sequential([keras.Input((12, 6)), keras.layers.Dense(5, name="letters")])
    model.compile("adam", keras.losses.CTC())
    batch = (np.zeros((2, 12, 6), "float32"), np.ones((2, 3), "int32"))
    with StepRecorder(model) as recorder:
        model.make_train_function()
        model.train_function(iter([batch]))
    graph, _, warnings = analyse_step(recorder, owned_layers(model))
    assert warnings == ()
    (inner,) = (op for op in graph.ops if op.op_name == "TensorScatterUpdate")
    loops = {op.pass_ for op in graph.ops if op.op_type in ("While", "StatelessWhile")}
    assert inner.pass_ in loops
    assert graph.has_tensors


def test_accumulated_gradients_are_the_optimizers_and_repeat(zoo: Any) -> None:
    import keras

    adam = keras.optimizers.Adam(gradient_accumulation_steps=6)
    step = zoo.trace(zoo.towers, optimizer=keras.optimizers.LossScaleOptimizer(adam))
    assert step.facts.cycle == 6
    moments = [op for op in step.graph.ops if op.op_type == "AssignAddVariableOp"]
    assert {op.pass_ for op in moments if op.layer in ("left", "right", "head")} == {"optimizer"}


def test_what_is_read_for_updates_alone_and_a_foreign_variable_are_the_optimizers(zoo: Any) -> None:
    """GIVEN momentum by hand, with a rate that decays, and a temperature that Keras knows not."""
    import keras
    import tensorflow as tf

    class ByHand(keras.Model):
        def train_step(self, data: Any) -> Any:
            x, y = data
            weights = self.trainable_variables
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x, training=True) * self.temperature - y) ** 2)
            *changes, warmer = tape.gradient(loss, [*weights, self.temperature])
            for variable, momentum, change in zip(weights, self.momenta, changes, strict=True):
                momentum.assign(0.9 * momentum + change)
                variable.assign_sub(self.rate * momentum)
            self.rate.assign(self.rate * 0.9)
            self.temperature.assign_sub(0.01 * warmer)
            return {"loss": loss}

    def make() -> Any:
        inputs = keras.Input((4,))
        hidden = keras.layers.Dense(3, name="first")(inputs)
        model = ByHand(inputs, keras.layers.Dense(2, name="head")(hidden))
        model.temperature, model.rate = tf.Variable(1.0), tf.Variable(0.1, trainable=False)
        model.momenta = [tf.Variable(tf.zeros(v.shape), trainable=False) for v in model.variables]
        return model

    step = zoo.trace(make)
    updates = [op for op in step.graph.ops if op.op_type.startswith("Assign")]
    assert len(updates) == 4 + 4 + 1 + 1
    assert {op.pass_ for op in updates} == {"optimizer"}
    assert set(step.graph.trained) == set(step.graph.variables), "the temperature is no layer's"
    # What the temperature needs as well is paid whatever is frozen.
    shared = [op for op in step.graph.ops if op.pass_ == "activation_gradient" and not op.needed_by]
    assert shared
