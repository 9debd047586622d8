"""Variants as Keras makes them: LoRA, quantised kernels, RematScope; in one measuring process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from test_measure_tf import MEASURE, SETTING, spec, trial_of

from frostline.attribute.step_graph import StepGraph
from frostline.measure.client import MeasureProcess
from frostline.measure.messages import (
    Failed,
    Inspected,
    InspectModel,
    Measured,
    OpenGroup,
    Ready,
    RunTrial,
)
from frostline.trial import ModelSpec
from frostline.variant import Lora, Remat, Variant

pytestmark = pytest.mark.tf

LOW = Variant(name="low", lora=Lora(rank=2))
LOW8 = Variant(name="low8", lora=Lora(rank=2), quantize="int8")
RECOMPUTED = Variant(name="again", remat=Remat(mode="activations"))


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeasureProcess]:
    log = tmp_path_factory.mktemp("log") / "process.log"
    with MeasureProcess(cores=(), gpu_ids="", log_path=log) as running:
        yield running


def inspected(process: MeasureProcess, model: ModelSpec, log: Path) -> Inspected | Failed:
    request = InspectModel(model=model, setting=SETTING, seed=0, log_path=str(log))
    return process.reply_to(request, deadline_s=120)


def test_variants_are_measured_against_the_plain_baseline(process: MeasureProcess, tmp_path: Path):
    """One after the other against one baseline; LoRA's variables belong to their layer."""
    plain = spec("dense")
    log = tmp_path / "log"
    opened = OpenGroup(model=plain, setting=SETTING, measure=MEASURE, log_path=str(log))
    assert isinstance(process.reply_to(opened, deadline_s=120), Ready)
    for number, (variant, both) in enumerate([(LOW, True), (LOW8, False), (RECOMPUTED, False)]):
        model = plain.varied(variant)
        found = inspected(process, model, log)
        assert isinstance(found, Inspected), found
        facts = replace(found.facts, name=model.name)
        lora = [each.path for each in facts.variables if each.is_lora]
        kernels = [each.path for each in facts.variables if each.name == "kernel"]
        assert bool(lora) == (variant.lora is not None)
        assert bool(kernels) == (variant.lora is None)
        assert isinstance(process.reply_to(opened, deadline_s=120), Ready)
        scratch = tmp_path / f"scratch{number}"
        scratch.mkdir()
        trial = replace(trial_of(facts, model, ()), is_control=False, anchor="trainable")
        run = RunTrial(trial=trial, scratch=str(scratch), log_path=str(log))
        measured = process.reply_to(run, deadline_s=120)
        assert isinstance(measured, Measured), measured
        assert measured.graph_file is not None
        graph = StepGraph.load(Path(measured.graph_file))
        assert set(graph.variables) == {each.path for each in facts.variables}
        needing = [
            {graph.variables[at] for at in op.needed_by} & set(lora)
            for op in graph.ops
            if op.pass_ == "weight_gradient" and op.op_type == "MatMul"
        ]
        assert any(len(each) > 1 for each in needing) == both


def test_a_frozen_part_of_a_variant_stands_still(process: MeasureProcess, tmp_path: Path):
    """The freeze check passes with A of one layer frozen, and its base kernel is watched."""
    plain = spec("dense")
    model = plain.varied(LOW)
    log = tmp_path / "log"
    found = inspected(process, model, log)
    assert isinstance(found, Inspected)
    opened = OpenGroup(model=plain, setting=SETTING, measure=MEASURE, log_path=str(log))
    assert isinstance(process.reply_to(opened, deadline_s=120), Ready)
    first = found.facts.layers[0]
    frozen = tuple(each.path for each in first.variables if each.name != "bias")
    trial = trial_of(found.facts, model, frozen)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    run = RunTrial(trial=trial, scratch=str(scratch), log_path=str(log))
    assert isinstance(process.reply_to(run, deadline_s=120), Measured)


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        (Variant(name="a", lora=Lora(rank=2, layers=("hiden",))), "no layer is called `hiden`"),
        (Variant(name="b", remat=Remat(mode="full")), "first"),
        (
            Variant(name="c", remat=Remat(mode="list_of_layers", layers=("first",))),
            "called with `training`: first;",
        ),
    ],
)
def test_what_keras_cannot_do_is_refused_with_the_layers_names(
    process: MeasureProcess, tmp_path: Path, variant: Variant, said: str
):
    reply = inspected(process, spec("dense").varied(variant), tmp_path / "log")
    assert isinstance(reply, Failed)
    assert reply.kind == "CannotVary"
    assert reply.is_refusal
    assert said in reply.message


def test_lora_is_refused_on_a_layer_that_cannot_carry_it(process: MeasureProcess, tmp_path: Path):
    found = inspected(process, spec("convnet"), tmp_path / "log")
    assert isinstance(found, Inspected)
    norm = next(each.name for each in found.facts.layers if each.is_norm)
    variant = Variant(name="x", lora=Lora(rank=2, layers=(norm,)))
    reply = inspected(process, spec("convnet").varied(variant), tmp_path / "log")
    assert isinstance(reply, Failed)
    assert norm in reply.message
