"""Planning: which trials a study comes to, in what order, under which names."""

import dataclasses
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frostline.errors import PolicyError, StudyError
from frostline.facts.model_facts import LayerFacts, ModelFacts, VariableFacts
from frostline.plan.trials import plan_trials
from frostline.policies import anchors
from frostline.study.study import parse_study


def chain(name, *layers):
    """Layers in a row; a name that ends in `norm` is a norm's."""
    made = []
    for index, layer in enumerate(layers):
        norm = layer.endswith("norm")
        made.append(
            LayerFacts(
                name=layer,
                index=index,
                kind="BatchNormalization" if norm else "Dense",
                block=layer.split("/")[0],
                is_norm=norm,
                variables=tuple(
                    VariableFacts(
                        path=f"{layer}/{variable}",
                        layer=layer,
                        name=variable,
                        shape=(count,),
                        params=count,
                        is_bias=variable == "bias",
                    )
                    for variable, count in (
                        [("gamma", 4), ("beta", 4)] if norm else [("kernel", 90), ("bias", 10)]
                    )
                ),
                upstream=layers[:index],
                forward_flops=100,
                uses=1,
            )
        )
    return ModelFacts(
        name=name,
        layers=tuple(made),
        untrainable_params=8,
        batch_size=16,
        build_s=0.5,
        trace_s=0.2,
    )


CONV = chain("conv", "one", "one_norm", "two", "three", "head")
MLP = chain("mlp", "a", "b", "c")


def study(*policies, anchors=True, models=("conv",), extra="", train="", name="s", seed=0):
    entries = "".join(
        f'[[model]]\nname = "{model}"\nbuilder = "frostline.models:mlp_sequential"\n'
        for model in models
    )
    listed = ", ".join(f'"{policy}"' for policy in policies)
    return parse_study(
        f'name = "{name}"\nseed = {seed}\n{entries}[train]\nbatch_size = [16]\n{train}\n'
        f"[freeze]\npolicies = [{listed}]\nanchors = {str(anchors).lower()}\n{extra}",
        check_builders=False,
    )


def plan(*policies, facts=CONV, **kwargs):
    return plan_trials(study(*policies, **kwargs), {facts.name: facts})


def test_order_controls_around_anchors_first():
    (group,) = plan("prefix:1", "prefix:2", "norms", "biases").groups
    assert [trial.policy for trial in group.trials] == [
        "none", "all_but_head", "anchors:pass_through", "prefix:1", "none", "prefix:2", "norms",
        "biases", "none",
    ]  # fmt: skip
    assert [t.replicate for t in group.trials if t.is_control] == [0, 1, 2]
    assert [trial.anchor for trial in group.trials][:3] == ["trainable", "pruned", "pass_through"]
    assert not any(trial.anchor for trial in group.trials[3:])


def test_what_a_trial_says():
    trial = next(t for t in plan("prefix:2+list:head/bias").trials if "prefix" in t.policy)
    assert trial.frozen_layers == ("one", "one_norm")
    assert trial.frozen_variables == (
        "one/kernel", "one/bias", "one_norm/gamma", "one_norm/beta", "head/bias",
    )  # fmt: skip
    assert (trial.frozen_params, trial.total_params) == (118, 408)
    assert trial.frozen_fraction == pytest.approx(118 / 408)
    assert trial.earliest_trainable_layer == 2
    assert re.fullmatch(r"conv-2of5-[0-9a-f]{10}", trial.trial_id)


def test_a_configuration_is_one_trial_however_it_is_spelled():
    trials = plan("prefix:4", "all_but_head", "suffix:4", "layer:1", "list:one").trials
    (pruned,) = [trial for trial in trials if trial.anchor == "pruned"]
    assert pruned.policy == "prefix:4"
    assert pruned.aliases == ("all_but_head", "suffix:4")
    (first,) = [trial for trial in trials if trial.policy == "layer:1"]
    assert first.aliases == ("list:one",)
    assert len(trials) == 3 + 2 + 1
    assert {trial.anchor for trial in trials if trial.is_control} == {"trainable", None}


def test_anchors_can_be_left_out_and_are_still_recognised():
    trials = plan("prefix:4", "norms", anchors=False).trials
    assert [(trial.policy, trial.anchor) for trial in trials if not trial.is_control] == [
        ("prefix:4", "pruned"),
        ("norms", None),
    ]
    assert trials[0].anchor == "trainable"
    listed = plan("anchors", anchors=False).trials
    assert [trial.anchor for trial in listed] == [
        "trainable", "pruned", "pass_through", None, None,
    ]  # fmt: skip


def test_only_controls_can_be_asked_for():
    assert [trial.policy for trial in plan("none", anchors=False).trials] == ["none"] * 3


def test_ids_follow_what_affects_the_result_and_nothing_else():
    def ids(*args, **kwargs):
        return {trial.trial_id for trial in plan(*args, **kwargs).trials}

    known = ids("prefix:4", "norms")
    assert len(known) == 6
    assert ids("norms", "all_but_head", "suffix:4", name="other") == known
    assert ids("prefix:4", "norms", extra='[measure]\nkeep_traces = "none"') == known
    assert ids("prefix:4", "norms", extra="[resources]\nmax_attempts = 9") == known
    for change in (
        {"seed": 1},
        {"extra": "[measure]\ntarget_ci = 0.1"},
        {"extra": "[resources]\ncpus_per_trial = 1"},
        {"train": 'optimizer = ["adam"]'},
        {"train": "jit_compile = [true]"},
        {"facts": dataclasses.replace(chain("conv", "one", "norm", "two", "three", "tail"))},
    ):
        assert not known & ids("prefix:4", "norms", **change)


def test_recording_gradient_norms_measures_the_first_control_anew_and_nothing_else():
    plain = plan("prefix:4").trials
    recording = plan("prefix:4", extra="[measure]\ngradient_norms = true").trials
    changed = [
        trial for trial, other in zip(recording, plain, strict=True)
        if trial.trial_id != other.trial_id
    ]  # fmt: skip
    assert [(trial.is_control, trial.replicate) for trial in changed] == [(True, 0)]


def test_ids_are_safe_file_names():
    facts = dataclasses.replace(CONV, name="Ünïcode + model. " + "x" * 70)
    for trial in plan("prefix:1", models=(facts.name,), facts=facts).trials:
        assert re.fullmatch(r"[a-z0-9-]{10,80}", trial.trial_id)


def test_each_setting_is_a_group_with_its_own_controls():
    got = plan("norms", train='optimizer = ["adam", "sgd"]')
    assert [group.setting.optimizer for group in got.groups] == ["adam", "sgd"]
    assert [len(group.trials) for group in got.groups] == [6, 6]
    assert len({trial.trial_id for trial in got.trials}) == 12
    assert got.trials == got.groups[0].trials + got.groups[1].trials


def test_a_policy_that_matches_nothing_is_skipped_with_a_notice():
    got = plan_trials(study("norms", "layer:1", models=("conv", "mlp")), {"conv": CONV, "mlp": MLP})
    assert got.notices == ("`norms` is skipped: it matches nothing in model `mlp`.",)


def test_a_policy_must_fit_at_least_one_model():
    facts = {"conv": CONV, "mlp": MLP}
    got = plan_trials(study("prefix:4", "layer:three", models=("conv", "mlp")), facts)
    assert len(got.notices) == 2
    assert "model `mlp` has 3 layers with weights, so K is at most 2" in got.notices[0]
    with pytest.raises(
        PolicyError, match=r"(?s)freeze\.policies, `prefix:9`.*`conv` has 5.*`mlp` has 3"
    ):
        plan_trials(study("prefix:9", models=("conv", "mlp")), facts)


def test_nothing_left_to_run():
    with pytest.raises(StudyError, match=r"(?s)Nothing is left to run.*matches nothing in model"):
        plan("regex:zzz")
    bare = dataclasses.replace(CONV, layers=())
    with pytest.raises(StudyError, match="nothing in it trains"):
        plan("prefix:*", facts=bare)


def test_freezing_everything_names_the_policy():
    with pytest.raises(PolicyError, match=r"`regex:\.` freezes all 5 layers"):
        plan("norms", "regex:.")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 6),
    st.lists(
        st.sampled_from(["prefix:*", "suffix:*", "layer:*", "random:5@0.5", "biases", "none",
                         "all_but_head", "anchors", "kernels", "norms"]),
        min_size=1,
    ),
    st.booleans(),
)  # fmt: skip
def test_every_plan(count, policies, with_anchors):
    facts = chain("conv", *(f"l{i}" for i in range(count)))
    try:
        got = plan(*policies, facts=facts, anchors=with_anchors)
    except StudyError:
        return  # a small model in which none of the policies freezes anything
    trials = got.trials
    assert len({trial.trial_id for trial in trials}) == len(trials)
    configurations = [frozenset(t.frozen_variables) for t in trials if not t.is_control]
    assert len(set(configurations)) == len(configurations)
    assert frozenset() not in configurations
    assert [trial.is_control for trial in trials].count(True) == 3
    assert trials[0].is_control
    assert trials[-1].is_control
    shown = {trial.anchor for trial in trials} - {None}
    known = {anchor.name for anchor in anchors(facts)}
    assert shown == known if with_anchors else shown <= known


def test_a_model_in_which_nothing_trains_is_named():
    study = parse_study(
        'name = "s"\n[[model]]\nname = "m"\nbuilder = "frostline.models:mlp_sequential"\n'
        '[train]\nbatch_size = [8]\n[freeze]\npolicies = ["prefix:1"]\n',
        check_builders=False,
    )
    bare = ModelFacts(
        name="m", layers=(), untrainable_params=0, batch_size=8, build_s=0.0, trace_s=0.0
    )
    with pytest.raises(StudyError, match="nothing in it trains"):
        plan_trials(study, {"m": bare})


def test_a_dtype_policy_that_the_builder_sets_is_the_settings_and_the_ids_stay():
    """GIVEN a builder with a policy of its own WHEN two are asked for THEN one runs: its own."""
    own = dataclasses.replace(CONV, own_precision="mixed_bfloat16")
    both = 'precision = ["float32", "mixed_float16"]'
    found = plan("prefix:1", facts=own, train=both)
    (group,) = found.groups
    assert group.setting.precision == "mixed_bfloat16"
    assert {trial.setting.precision for trial in found.trials} == {"mixed_bfloat16"}
    assert {trial.model.called_under for trial in found.trials} == {"float32"}
    assert any("its builder sets the dtype policy mixed_bfloat16" in each for each in found.notices)
    asked = plan("prefix:1", train='precision = ["float32"]')
    assert [trial.trial_id for trial in found.trials] == [trial.trial_id for trial in asked.trials]


def test_an_optimizer_that_the_step_does_not_apply_makes_no_settings():
    own = dataclasses.replace(CONV, own_optimizers=True)
    found = plan("prefix:1", facts=own, train='optimizer = ["adam", "sgd"]')
    (group,) = found.groups
    assert group.setting.optimizer is None
    assert any("applies optimizers of its own" in each for each in found.notices)
    assert not any("optimizers of its own" in each for each in plan("prefix:1", facts=own).notices)


def test_an_optimizers_arguments_make_another_trial():
    ids = {
        optimizer: plan("prefix:1", train=f"optimizer = [{optimizer}]").trials[0].trial_id
        for optimizer in (
            '"adamw"',
            '{ name = "adamw" }',
            '{ name = "adamw", clipnorm = 1.0, weight_decay = 0.1 }',
            '{ name = "adamw", weight_decay = 0.1, clipnorm = 1.0 }',
            '{ name = "adamw", weight_decay = 0.2, clipnorm = 1.0 }',
        )
    }
    plain, table, one, same, other = ids.values()
    assert plain == table
    assert one == same
    assert len({plain, one, other}) == 3


def test_a_model_that_cannot_be_built_leaves_the_others_their_trials():
    """GIVEN a policy that only the unbuilt model might fit THEN it is skipped with a notice."""
    asked = study("prefix:1", "layer:nosuch", models=("conv", "mlp"))
    got = plan_trials(asked, {"conv": CONV})
    assert {trial.model.name for trial in got.trials} == {"conv"}
    assert any("`layer:nosuch` is skipped" in notice for notice in got.notices)
    with pytest.raises(PolicyError, match=r"freeze\.policies, `layer:nosuch`"):
        plan_trials(asked, {"conv": CONV, "mlp": MLP})
    assert plan_trials(asked, {}).trials == ()


def test_a_misfit_of_a_schedule_is_said_of_the_schedule():
    asked = study("prefix:1", models=("conv",))
    stages = dataclasses.replace(
        asked, freeze=asked.freeze.model_copy(update={"schedule": ((1, "layer:nosuch"),)})
    )
    with pytest.raises(PolicyError, match=r"freeze\.schedule, `layer:nosuch`"):
        plan_trials(stages, {"conv": CONV})
