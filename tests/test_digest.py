"""Digests that are kept in OUT: what they were in the first version, they stay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frostline.digest import digest_of
from frostline.facts.model_facts import LayerFacts, ModelFacts, VariableFacts
from frostline.facts.provenance import made_from
from frostline.plan.trials import plan_trials
from frostline.study.study import Study, parse_study
from frostline.sweep.unbuilt import unbuilt_trials

STUDY = """
name = "pinned"
seed = 7
[[model]]
name = "Größe 1"
builder = "mine:net"
kwargs = { units = [8, 4], name = "é" }
[train]
batch_size = [8]
optimizer = ["adam"]
[freeze]
policies = ["prefix:1"]
anchors = false
[resources]
gpus_per_trial = 0
"""
DIGEST = "15daa7b6ebf68997c2ddc6345f70dc515253451457c4c7f8cb0838b0db837739"
ASKED = "948aafd496fd836b4ab7f8211e43cd9d0b8740ba9885850dd5fc5a3b0cb33334"
UNBUILT = "gr-e-1-unbuilt-20871f8ebd"
IDS = [
    "gr-e-1-0of2-0b46c991ff", "gr-e-1-1of2-9a4b746774", "gr-e-1-0of2-5a54eb352f",
    "gr-e-1-0of2-c14f91fea8",
]  # fmt: skip


@pytest.fixture
def study() -> Study:
    return parse_study(STUDY, check_builders=False)


def facts() -> ModelFacts:
    layers = tuple(
        LayerFacts(
            name=name, index=index, kind="Dense", block=name, is_norm=False,
            variables=(
                VariableFacts(
                    path=f"{name}/kernel", layer=name, name="kernel", shape=(4, 4), params=16,
                    is_bias=False,
                ),
            ),
            upstream=(), forward_flops=None, uses=1,
        )
        for index, name in enumerate(("a", "b"))
    )  # fmt: skip
    return ModelFacts(
        name="Größe 1", layers=layers, untrainable_params=0, batch_size=8, build_s=0, trace_s=0
    )


def test_what_the_first_version_wrote_is_found_again(study: Study) -> None:
    (model,), (setting,) = study.model_specs(), study.settings()
    begun_then = replace(study, stopping="half_width")  # as its manifest has no rule
    trials = plan_trials(begun_then, {"Größe 1": facts()}).trials
    (unbuilt,) = unbuilt_trials(study, model)

    assert study.digest == DIGEST
    assert [trial.trial_id for trial in trials] == IDS
    assert unbuilt.trial_id == UNBUILT
    assert made_from(model, setting, seed=7, files=()).asked == ASKED


def test_a_study_that_lies_elsewhere_has_the_same_digests(study: Study) -> None:
    (model,), (setting,) = study.model_specs(), study.settings()
    moved = replace(model, search_path=("/somewhere/else",))
    origins = [made_from(each, setting, seed=7, files=()) for each in (model, moved)]
    assert origins[0].asked == origins[1].asked


def test_equal_values_have_equal_digests_and_others_none() -> None:
    assert digest_of({"b": [1, "é"], "a": None}) == digest_of({"a": None, "b": (1, "é")})
    assert digest_of(["1"]) != digest_of([1])
    with pytest.raises(TypeError):
        digest_of({1, 2})
