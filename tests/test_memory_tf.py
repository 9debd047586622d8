"""Tensors of real traced steps, and what a configuration leaves of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from frostline.attribute.step_graph import StepGraph
from frostline.measure.messages import RetraceStep, RunAlone
from frostline.memory.liveness import peak
from frostline.memory.running import Running
from frostline.trial import ModelSpec, Setting

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def zoo() -> Any:
    import traced_models

    return traced_models


def needed(step: Any, frozen: set[str]) -> int:
    graph = step.graph
    return peak(graph.ops, Running(graph).flags(set(graph.variables) - frozen)).n_bytes


def convnet(**kwargs: int) -> ModelSpec:
    return ModelSpec(
        name="net",
        builder="frostline.models:small_convnet",
        kwargs_json=json.dumps(kwargs),
        loss=None,
        metrics=(),
        data=None,
    )


def test_every_op_says_what_it_reads_and_how_large_what_it_makes_is(zoo: Any) -> None:
    step = zoo.trace(zoo.vgg, optimizer="adam")
    x, _ = zoo.batch_for(step.model)
    for op in step.graph.ops:
        assert op.inputs is not None
        assert op.output_bytes is not None
        assert all(0 <= source < len(step.graph.ops) for source, _ in op.inputs)
    for op in step.graph.ops:
        if op.op_type == "Conv2D":
            layer = step.model.get_layer("vgg16").get_layer(op.layer.split("/")[1])
            height, width, channels = layer.output.shape[1:]
            assert op.output_bytes == (len(x) * height * width * channels * 4,)


def test_the_pruned_baseline_needs_what_the_configuration_s_own_step_needs(zoo: Any) -> None:
    whole = zoo.trace(zoo.vgg, optimizer="adam")
    first = {name for name in whole.graph.variables if name.startswith("vgg16/block1")}
    own = zoo.trace(zoo.vgg, optimizer="adam", frozen=first)
    alone = peak(own.graph.ops, [op.pass_ != "other" for op in own.graph.ops]).n_bytes
    assert needed(whole, first) == pytest.approx(alone, rel=0.02)
    assert needed(whole, first) < needed(whole, set())


def test_a_recurrent_layer_keeps_every_time_step_for_its_gradient(zoo: Any) -> None:
    step = zoo.trace(zoo.recurrent)
    kept = [op for op in step.graph.ops if op.op_type == "TensorListPushBack"]
    assert kept
    x, _ = zoo.batch_for(step.model)
    steps = x.shape[1]
    sizes = {op.output_bytes[0] for op in kept}
    assert all(size is None or size % steps == 0 for size in sizes)
    assert any(size for size in sizes)


def test_a_trial_s_step_is_traced_again_as_it_ran(tmp_path: Path) -> None:
    import keras

    from frostline.measure.arm import Arm
    from frostline.measure.batches import feed
    from frostline.measure.build import build, strategy_for
    from frostline.measure.phase_times import Phases
    from frostline.measure.retrace import retrace
    from frostline.measure.trial_arm import trace_baseline, trace_trial
    from frostline.trial import Trial

    spec = convnet(side=8, width=4)
    setting = Setting(
        batch_size=4, optimizer="adam", precision="float32", jit_compile="false", strategy="single"
    )

    def make() -> tuple[Arm, tuple[str, ...]]:
        model, warnings = build(spec, setting, seed=0)
        found = feed(model, spec, setting, strategy_for(setting), seed=0)
        return Arm(model, found.batches, strategy_for(setting)), warnings

    phases = Phases(lambda stage: None)
    trains = trace_baseline(make, phases).trains
    frozen = tuple(sorted(path for path in trains if path.startswith("block1")))
    trial = Trial(
        trial_id="t", study="s", model=spec, setting=setting, policy="prefix:2", aliases=(),
        frozen_layers=("block1_conv", "block1_norm"), frozen_variables=frozen, frozen_params=1,
        total_params=2, earliest_trainable_layer=2, is_control=False, replicate=0, anchor=None,
    )  # fmt: skip
    ran = trace_trial(trial, make, phases, trains=trains)
    keras.utils.clear_session()
    target = tmp_path / "graph.json"
    request = RetraceStep(
        model=spec, setting=setting, seed=0, frozen_variables=frozen, graph_path=str(target),
        log_path=str(tmp_path / "log"),
    )  # fmt: skip
    answer = retrace(request, lambda stage: None)
    assert answer.held == ran.held
    assert StepGraph.load(target) == ran.graph
    assert answer.held.weights > 0
    assert answer.held.optimizer_slots > 0


@pytest.mark.parametrize("batch_size", [8, 32])
def test_a_configuration_runs_alone_at_any_batch(batch_size: int, tmp_path: Path) -> None:
    from frostline.measure.alone import run_alone

    spec = convnet(side=16, width=8)
    setting = Setting(
        batch_size=batch_size, optimizer="adam", precision="float32", jit_compile="false",
        strategy="single",
    )  # fmt: skip
    stages: list[str] = []
    frozen = ("block1_conv/kernel", "block1_norm/beta", "block1_norm/gamma")
    ran = run_alone(
        RunAlone(
            model=spec, setting=setting, seed=0, frozen_variables=frozen,
            frozen_layers=("block1_conv", "block1_norm"), profile_steps=2,
            scratch=str(tmp_path), log_path=str(tmp_path / "log"),
        ),
        stages.append,
    )  # fmt: skip
    assert ran.error is None
    assert ran.trace_file is not None
    assert Path(ran.trace_file).is_file(), "a CPU keeps no account, so the profile has to tell"
    assert ran.held.batch == batch_size * (16 * 16 * 3 + 10) * 4, "images, and classes one-hot"
    assert stages[-1] == "profile"


def test_a_configuration_that_diverges_on_synthetic_batches_runs_alone_slower(
    tmp_path: Path,
) -> None:
    from frostline.measure.alone import run_alone

    setting = Setting(
        batch_size=4, optimizer="sgd(learning_rate=1e5)", precision="float32",
        jit_compile="false", strategy="single",
    )  # fmt: skip
    stages: list[str] = []
    ran = run_alone(
        RunAlone(
            model=ModelSpec(
                name="net", builder="sample_models:explodes", kwargs_json="{}", loss=None,
                metrics=(), data=None, search_path=(str(Path(__file__).parent),),
            ),
            setting=setting, seed=0, frozen_variables=(), frozen_layers=(), profile_steps=2,
            scratch=str(tmp_path), log_path=str(tmp_path / "log"),
        ),
        stages.append,
    )  # fmt: skip
    assert stages.count("build") == 2
    assert ran.trace_file is not None
