"""What a builder's module does at import, and what builders do to Keras as a whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_measure_tf import SETTING, Session, spec, trial_of

from frostline.errors import TrialError
from frostline.measure.client import MeasureProcess
from frostline.measure.messages import Failed, Measured, Ready
from frostline.trial import ModelSpec

pytestmark = pytest.mark.tf

HERE = str(Path(__file__).parent)
OWN = replace(SETTING, optimizer=None)


def at_import(name: str) -> ModelSpec:
    return replace(spec("dense"), name=name, builder=f"import_models:{name}", loss=None)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Any:
    log = tmp_path_factory.mktemp("log") / "process.log"
    with MeasureProcess(cores=(), gpu_ids="", log_path=log) as running:
        yield running


@pytest.fixture
def session(process: MeasureProcess, tmp_path: Path) -> Session:
    return Session(process, tmp_path)


def test_a_dtype_policy_set_at_import_holds_for_every_model(session: Session) -> None:
    model = at_import("on_base")
    facts = session.inspect(model, OWN).facts
    assert facts.own_precision == "mixed_bfloat16"
    assert session.inspect(model, OWN).facts.own_precision == "mixed_bfloat16", "and once more"
    lied = session.open(replace(spec("dense"), called_under="mixed_float16"), OWN)
    assert isinstance(lied, Failed)
    assert (lied.stage, lied.kind) == ("build", "OtherPrecision")


def test_layers_made_at_import_are_made_anew_for_every_trial(session: Session) -> None:
    """GIVEN one base for all models, as a module's own; THEN a freeze ends with its trial."""
    mixed = replace(OWN, precision="mixed_bfloat16")
    for name, first in (("on_base", "base/a"), ("the_base", "a")):
        model = replace(at_import(name), called_under="float32")
        facts = session.inspect(model, mixed).facts
        assert isinstance(session.open(model, mixed), Ready)
        frozen = (f"{first}/kernel", f"{first}/bias")
        for variables in (frozen, (), frozen):
            trial = replace(trial_of(facts, model, variables), setting=mixed)
            assert isinstance(got := session.run(trial), Measured), got


def test_optimizers_made_at_import_are_made_anew_and_are_the_ones_that_count(
    session: Session,
) -> None:
    model = replace(at_import("critic"), called_under="float32")
    mixed = replace(OWN, precision="mixed_bfloat16")
    facts = session.inspect(model, mixed).facts
    assert facts.own_optimizers
    assert facts.must_train == (), "one group alone is never tried"
    assert isinstance(session.open(model, mixed), Ready)
    got = session.run(replace(trial_of(facts, model, ("body/a/kernel",)), setting=mixed))
    assert isinstance(got, Measured), got
    left = (4 + 4 + 1) * 4  # the bias of `a`, kernel and bias of `b`, in float32
    assert got.held.optimizer_slots == 2 * left + 8 + 4, "two moments, step number, learning rate"


@pytest.fixture
def build() -> Any:
    from frostline.measure.build import build

    return build


def test_names_count_on_from_what_the_import_made(build: Any) -> None:
    """Else the second model has two layers called `sequential`, which Keras refuses."""
    first, second = (build(at_import("augmented"), OWN, seed=1)[0] for _ in range(2))
    names = [layer.name for layer in first.layers]
    assert [layer.name for layer in second.layers] == names
    assert len(set(names)) == len(names) == 3


@pytest.mark.parametrize("precision", ["mixed_float16", "float32", "mixed_bfloat16"])
def test_a_layer_made_at_import_sets_no_policy(build: Any, precision: str) -> None:
    setting = replace(OWN, precision=precision)
    asked = replace(at_import("augmented"), builder="import_layers:augmented")
    model, _ = build(asked, setting, seed=1)
    assert model.get_layer("head").dtype_policy.name == precision


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_a_builder_that_clears_keras_keeps_policy_and_other_models(
    build: Any, precision: str
) -> None:
    from frostline.measure.fresh_state import clears

    before = clears()
    setting = replace(OWN, precision=precision)
    model, _ = build(spec("clears_keras"), setting, seed=1)
    assert {layer.dtype_policy.name for layer in model.layers} == {precision}
    assert clears() == before


def test_layers_that_outlast_a_new_import_are_refused(build: Any) -> None:
    kept = spec("kept_elsewhere")
    build(kept, OWN, seed=1)[0].build((None, 6))
    with pytest.raises(TrialError, match="gives the layer `kept` to every model it makes") as found:
        build(kept, OWN, seed=1)
    assert (found.value.stage, found.value.kind) == ("build", "SharedBetweenModels")


def test_an_optimizer_that_trained_keeps_schedule_and_exclusions(build: Any) -> None:
    model, _ = build(spec("trained_with_schedule"), OWN, seed=1)
    assert not model.optimizer.built
    assert type(model.optimizer._learning_rate).__name__ == "Halving"
    assert model.optimizer._exclude_from_weight_decay_pattern.pattern == "bias"


def test_metrics_give_no_loss_to_a_model_that_was_compiled_without_one(build: Any) -> None:
    asked = replace(spec("adds_loss"), metrics=("mae",))
    assert build(asked, OWN, seed=1)[0].loss is None
    assert build(replace(asked, builder="sample_models:convnet"), OWN, seed=1)[0].loss is not None


def test_a_step_that_trains_a_variable_beside_the_model(session: Session) -> None:
    model = spec("trains_beside")
    facts = session.inspect(model, OWN).facts
    assert [layer.name for layer in facts.layers] == ["first", "second", "head"]
    assert isinstance(session.open(model, OWN), Ready)
    got = session.run(replace(trial_of(facts, model, ("first/kernel",)), setting=OWN))
    assert isinstance(got, Measured), got


@pytest.mark.parametrize(("after", "cycle"), [(3, 3), (1, 1)])
def test_a_counter_that_is_set_back_is_watched(session: Session, after: int, cycle: int) -> None:
    """GIVEN gradients that are added up, and a counter that begins anew at each update."""
    model = replace(spec("counts_and_resets"), kwargs_json=f'{{"after": {after}}}')
    facts = session.inspect(model, OWN).facts
    assert isinstance(session.open(model, OWN), Ready)
    got = session.run(replace(trial_of(facts, model, ("first/kernel",)), setting=OWN))
    assert isinstance(got, Measured), got
    assert got.steps_per_mark == cycle
    assert all(each.n_steps % cycle == 0 for each in got.samples)
    assert got.warnings == ()


def test_a_counter_that_never_comes_back_is_told(session: Session) -> None:
    model = replace(spec("counts_and_resets"), kwargs_json='{"after": 500}')
    session.inspect(model, OWN)
    assert isinstance(session.open(model, OWN), Ready)
    got = session.run(trial_of(session.inspect(model, OWN).facts, model, ()))
    assert isinstance(got, Measured | Failed)
    said = " ".join(got.warnings) if isinstance(got, Measured) else got.message
    assert "did not come back to its value within 128 steps" in said
