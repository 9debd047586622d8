"""The measuring process, really run: one process serves all of this file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from schedule_kit import watched

from frostline.attribute.step_graph import StepGraph
from frostline.facts.model_facts import ModelFacts
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
from frostline.trial import MeasureSpec, ModelSpec, Setting, Trial

pytestmark = pytest.mark.tf

HERE = str(Path(__file__).parent)
SETTING = Setting(
    batch_size=4, optimizer="adam", precision="float32", jit_compile="auto", strategy="single"
)
MEASURE = MeasureSpec(
    target_ci=0.5, min_pairs=3, max_pairs=4, profile_steps=2, keep_traces="all", seed=5
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


def trial_of(facts: ModelFacts, model: ModelSpec, frozen: tuple[str, ...]) -> Trial:
    """A trial that freezes variables by path."""
    left = {v.layer for v in facts.variables if v.path not in frozen}
    layers = tuple(layer.name for layer in facts.layers if layer.name not in left)
    return Trial(
        trial_id=f"{model.name}-{len(frozen)}",
        study="s",
        model=model,
        setting=SETTING,
        policy="test",
        aliases=(),
        frozen_layers=layers,
        frozen_variables=frozen,
        frozen_params=sum(v.params for v in facts.variables if v.path in frozen),
        total_params=facts.total_params,
        earliest_trainable_layer=min(facts.by_name[name].index for name in left),
        is_control=not frozen,
        replicate=0,
        anchor=None,
    )


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeasureProcess]:
    log = tmp_path_factory.mktemp("log") / "process.log"
    with MeasureProcess(cores=(), gpu_ids="", log_path=log) as running:
        yield running


class Session:
    """Requests with the deadlines and folders filled in."""

    def __init__(self, process: MeasureProcess, folder: Path) -> None:
        self.process = process
        self.log = folder / "trial.log"
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.stages: list[str] = []

    def inspect(self, model: ModelSpec, setting: Setting = SETTING) -> Any:
        request = InspectModel(model=model, setting=setting, seed=5, log_path=str(self.log))
        return self.process.reply_to(request, deadline_s=120)

    def open(self, model: ModelSpec, setting: Setting = SETTING) -> Any:
        request = OpenGroup(model=model, setting=setting, measure=MEASURE, log_path=str(self.log))
        return self.process.reply_to(request, deadline_s=120)

    def run(self, trial: Trial) -> Any:
        request = RunTrial(trial=trial, scratch=str(self.scratch), log_path=str(self.log))
        return watched(self.process.request(request, deadline_s=120), self.stages)


@pytest.fixture
def session(process: MeasureProcess, tmp_path: Path) -> Session:
    return Session(process, tmp_path)


def test_a_frozen_first_layer(session: Session) -> None:
    model = spec("dense")
    inspected = session.inspect(model)
    assert isinstance(inspected, Inspected)
    assert [layer.name for layer in inspected.facts.layers] == ["first", "second", "head"]
    ready = session.open(model)
    assert isinstance(ready, Ready)
    assert ready.jit_compile is False
    got = session.run(trial_of(inspected.facts, model, ("first/kernel", "first/bias")))
    assert isinstance(got, Measured), got
    assert session.stages.index("build") < session.stages.index("measure")
    assert session.stages[-1] == "profile"
    counted = [s for s in got.samples if not s.warmup]
    assert len([s for s in counted if s.arm == "trial"]) in (3, 4)
    assert len(counted) == 2 * len({s.pair for s in counted})
    warm_up = [s for s in got.samples if s.pair == -1]
    assert all(s.warmup for s in warm_up)
    assert sum(s.n_steps for s in warm_up if s.arm == "trial") >= 100, "until its ops are settled"
    assert got.speedup_low <= got.speedup <= got.speedup_high
    assert got.profiled_step_ns is not None
    assert got.peak_memory_bytes is None, "a CPU has no account of a trial's memory"
    assert Path(got.trace_file or "").stat().st_size > 0
    graph = StepGraph.load(Path(got.graph_file or ""))
    assert graph.trained == ("second/kernel", "second/bias", "head/kernel", "head/bias")
    assert {"build", "trace", "step", "check", "profile"} <= set(got.seconds)
    assert (got.profile_windows, got.step_compilations) == (1, 1), "the baseline stays compiled"
    assert (got.device_before, got.device_after, got.throttled) == (None, None, None)


def test_a_mirrored_step_is_measured_and_checked(session: Session) -> None:
    """GIVEN MirroredStrategy over the one device here THEN a trial is as good as any."""
    model, mirrored = spec("dense"), replace(SETTING, strategy="mirrored")
    inspected = session.inspect(model, mirrored)
    assert isinstance(inspected, Inspected), inspected
    ready = session.open(model, mirrored)
    assert isinstance(ready, Ready), ready
    trial = trial_of(inspected.facts, model, ("first/kernel", "first/bias"))
    got = session.run(replace(trial, setting=mirrored))
    assert isinstance(got, Measured), got
    graph = StepGraph.load(Path(got.graph_file or ""))
    assert graph.trained == ("second/kernel", "second/bias", "head/kernel", "head/bias")


def test_an_eager_step_is_timed_and_not_profiled(session: Session) -> None:
    model = replace(spec("set_up_by_builder", eagerly=True), builder="fed_models:set_up_by_builder")
    own = replace(SETTING, optimizer=None)
    inspected = session.inspect(model, own)
    assert isinstance(inspected, Inspected), inspected
    assert "Compile it" in inspected.facts.facts_warnings[-1]
    assert isinstance(session.open(model, own), Ready)
    got = session.run(replace(trial_of(inspected.facts, model, ("trunk/kernel",)), setting=own))
    assert isinstance(got, Measured), got
    assert (got.runs_eagerly, got.trace_file, got.profiled_step_ns) == (True, None, None)
    assert "leave run_eagerly=True out" in (got.profile_error or "")
    assert got.step_ns > 0
    # The second output's loss counts a million times, and the rate is SGD's own.
    assert got.warnings[0].startswith("the loss is not finite on synthetic batches")
    assert "at the learning rate 0.01: measured at 1e-08" in got.warnings[0]


def test_half_of_a_gan_is_frozen_and_the_updates_are_the_optimizers(session: Session) -> None:
    """GIVEN optimizers in a dict in an object, one of them wrapped, and a step wired otherwise."""
    model = replace(spec("gan"), data="sample_models:pairs_of_six")
    own = replace(SETTING, optimizer=None)
    facts = session.inspect(model, own).facts
    assert isinstance(session.open(model, own), Ready)
    frozen = tuple(v.path for v in facts.variables if v.layer in ("disc/d1", "gen/g2"))
    got = session.run(replace(trial_of(facts, model, frozen), setting=own))
    assert isinstance(got, Measured), got
    graph = StepGraph.load(Path(got.graph_file or ""))
    assert set(graph.trained) == {
        "gen/g1/kernel", "gen/g1/bias", "disc/d2/kernel", "disc/d2/bias",
    }  # fmt: skip
    updates = [op for op in graph.ops if op.op_type.startswith("Assign")]
    seeds = {op.pass_ for op in updates if op.pass_ != "optimizer"}
    assert seeds == {"forward"}, "the generator's seed moves on with each draw"
    assert sum(op.pass_ == "optimizer" for op in updates) >= 4 * 3 + 2, "slots and counters too"
    gradients = {op.layer for op in graph.ops if op.pass_ == "weight_gradient"}
    assert gradients <= {"gen/g1", "disc/d2"}


def test_a_teacher_that_the_step_never_trains_is_no_failed_freeze(session: Session) -> None:
    model = replace(spec("distiller"), data="sample_models:pairs_of_six")
    facts = session.inspect(model).facts
    assert isinstance(session.open(model), Ready)
    got = session.run(trial_of(facts, model, ("student/low/kernel", "student/low/bias")))
    assert isinstance(got, Measured), got
    graph = StepGraph.load(Path(got.graph_file or ""))
    moving = [op for op in graph.ops if op.op_type.startswith("Assign") and op.pass_ == "forward"]
    assert len(moving) == 4, "a moving average of weights is no optimizer's"


def test_a_frozen_spectral_normalisation_is_measured_and_said_to_go_on(session: Session) -> None:
    model = spec("siamese_spectral")
    facts = session.inspect(model).facts
    assert isinstance(session.open(model), Ready)
    frozen = tuple(v.path for v in facts.variables if v.layer == "enc/spectral/inner")
    got = session.run(trial_of(facts, model, frozen))
    assert isinstance(got, Measured), got
    assert (
        "their layer assigns them itself in every step: enc/spectral/inner/kernel"
        in (got.warnings[0])
    )


def test_a_bias_alone_can_be_frozen(session: Session) -> None:
    model = spec("dense")
    facts = session.inspect(model).facts
    session.open(model)
    got = session.run(trial_of(facts, model, ("first/bias", "second/bias", "head/bias")))
    assert isinstance(got, Measured), got
    graph = StepGraph.load(Path(got.graph_file or ""))
    assert graph.trained == ("first/kernel", "second/kernel", "head/kernel")


def test_a_frozen_batch_normalisation_keeps_its_statistics(session: Session) -> None:
    model = spec("convnet")
    facts = session.inspect(model).facts
    session.open(model)
    frozen = tuple(v.path for v in facts.variables if v.layer in ("conv1", "bn1"))
    got = session.run(trial_of(facts, model, frozen))
    assert isinstance(got, Measured), got


def test_freezing_without_effect_fails_the_trial(session: Session) -> None:
    """GIVEN a train step with a list of variables of its own, made before anything was frozen."""
    model = spec("keeps_training")
    facts = session.inspect(model).facts
    assert isinstance(session.open(model), Ready)
    failed = session.run(trial_of(facts, model, ("first/kernel", "first/bias")))
    assert isinstance(failed, Failed)
    assert failed.stage == "check"
    assert failed.kind == "FreezeCheckFailed"
    assert "computes gradients of frozen variables: first/bias, first/kernel" in failed.message


def test_a_layer_that_assigns_its_own_frozen_kernel_is_measured_and_named(session: Session) -> None:
    model = spec("assigns_itself")
    facts = session.inspect(model).facts
    assert isinstance(session.open(model), Ready)
    got = session.run(trial_of(facts, model, ("drifting/kernel", "drifting/bias")))
    assert isinstance(got, Measured), got
    (warning,) = got.warnings
    assert "frozen, but their layer assigns them itself in every step: drifting/kernel" in warning
    graph = StepGraph.load(Path(got.graph_file or ""))
    assert graph.trained == ("head/kernel", "head/bias")
    assigned = [op for op in graph.ops if op.op_type == "AssignVariableOp"]
    assert {op.pass_ for op in assigned if op.layer == "drifting"} == {"forward"}


@pytest.mark.parametrize("compiled", [False, True])
def test_a_step_that_the_builder_trained_with_is_made_anew(
    session: Session, compiled: bool
) -> None:
    """GIVEN a builder that fits with a frozen layer and unfreezes it, in a function of its own too.

    THEN everything trains in the baseline, and the trial's step is the trial's.
    """
    model = spec("trained_by_builder", own_function=compiled)
    facts = session.inspect(model).facts
    every = ("first/kernel", "first/bias", "head/kernel", "head/bias")
    assert tuple(v.path for v in facts.variables) == every
    assert isinstance(session.open(model), Ready)
    got = session.run(trial_of(facts, model, ()))
    assert isinstance(got, Measured), got
    assert StepGraph.load(Path(got.graph_file or "")).trained == every
    assert got.warnings == ()


def test_a_step_that_was_traced_before_is_made_anew_or_refused(session: Session) -> None:
    """GIVEN a tf.function outside of the model, traced while the first layer was frozen.

    THEN it is traced again where the train step's closure leads to it, and refused elsewhere.
    """
    assert isinstance(session.open(spec("trained_elsewhere", reach=True)), Ready)
    failed = session.open(spec("trained_elsewhere"))
    assert isinstance(failed, Failed)
    assert (failed.stage, failed.kind) == ("check", "FreezeCheckFailed")
    assert "first/bias, first/kernel" in failed.message


@pytest.mark.parametrize("accumulate", [1, 4])
def test_samples_and_profiles_are_whole_cycles(session: Session, accumulate: int) -> None:
    """GIVEN updates in every 4th step, or calls that run 2 steps each."""
    model = spec("in_cycles", accumulate=accumulate, per_call=2)
    cycle = max(accumulate, 2)
    facts = session.inspect(model).facts
    own = replace(SETTING, optimizer=None)
    assert isinstance(session.open(model, own), Ready)
    got = session.run(replace(trial_of(facts, model, ("first/kernel", "first/bias")), setting=own))
    assert isinstance(got, Measured), got
    assert got.steps_per_mark == cycle
    assert all(each.n_steps % cycle == 0 for each in got.samples)
    assert got.warnings == (), "every trainable value moved within the cycle"


def test_a_builder_that_raises_is_a_failure_with_its_place(session: Session) -> None:
    failed = session.open(spec("raises"))
    assert isinstance(failed, Failed)
    assert failed.stage == "build"
    assert "sample_models.py:" in failed.message
    assert not failed.fatal
    assert "the weights file is missing" in session.log.read_text()


def test_a_model_without_weights_has_no_layers(session: Session) -> None:
    assert session.inspect(spec("no_weights")).facts.layers == ()


def test_an_exploding_loss_is_a_failure(session: Session) -> None:
    failed = session.open(spec("explodes"), replace(SETTING, optimizer=None))
    assert isinstance(failed, Failed)
    assert failed.kind == "NonFiniteLoss"
    assert "learning rate" in failed.message


def test_a_model_without_a_single_gradient_never_opens(session: Session) -> None:
    failed = session.open(spec("cut_off"))
    assert isinstance(failed, Failed)
    assert (failed.stage, failed.kind) == ("check", "NoGradients")
    assert "stop_gradient" in failed.message


@pytest.mark.parametrize(
    ("asks", "words"),
    [(False, "no trainable value moves"), (True, "the loss depends on none of first/bias")],
)
def test_a_train_step_without_gradients_never_opens(
    session: Session, asks: bool, words: str
) -> None:
    failed = session.open(spec("untrained", asks=asks))
    assert isinstance(failed, Failed)
    assert (failed.stage, failed.kind) == ("check", "NoGradients")
    assert words in failed.message


def test_both_models_too_large_for_the_device_are_sandwiched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import tensorflow as tf

    from frostline.measure import baseline as baseline_module
    from frostline.measure.inspect.answer import inspect_request

    def no_room(*args: Any, **kwargs: Any) -> Any:
        raise tf.errors.InternalError(None, None, "RESOURCE_EXHAUSTED: Out of memory")

    model = spec("dense")
    facts = inspect_request(
        InspectModel(model=model, setting=SETTING, seed=5, log_path="x"), lambda stage: None
    ).facts
    opened = baseline_module.WarmBaseline(
        OpenGroup(model=model, setting=SETTING, measure=MEASURE, log_path="x"), lambda stage: None
    )
    monkeypatch.setattr(baseline_module, "interleave", no_room)
    got = opened.run(trial_of(facts, model, ("first/kernel", "first/bias")), tmp_path)
    assert got.pairing == "sandwich"
    assert {s.position for s in got.samples if s.arm == "baseline"} == {0, 2}
    assert {s.position for s in got.samples if s.arm == "trial"} == {1}
    assert got.speedup_low <= got.speedup <= got.speedup_high
    assert got.baseline_step_ns > 0
    assert opened.ready(import_s=0).rss_bytes > 0, "the baseline stands again"
    opened.close()
