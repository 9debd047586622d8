"""Training settings: their words, their order, and what tells trials of several of them apart."""

from __future__ import annotations

from dataclasses import replace

from predict_kit import study_text, world_facts

from frostline.analyse.groups import GroupKey
from frostline.plan.labels import labels_of
from frostline.plan.trials import plan_trials
from frostline.study.study import parse_study
from frostline.trial import AXES, Setting

SETTING = Setting(
    batch_size=16, optimizer="adam", precision="float32", jit_compile="auto", strategy="single"
)


def test_a_setting_in_words_leaves_out_what_goes_without_saying() -> None:
    assert SETTING.words() == "batch size 16, adam, float32, jit_compile auto"
    own = replace(SETTING, optimizer=None, strategy="mirrored")
    assert own.words() == "batch size 16, float32, jit_compile auto, mirrored"
    assert SETTING.words(["optimizer"]) == "adam"
    assert SETTING.words([]) == ""


def test_every_axis_tells_two_settings_apart_in_words() -> None:
    others = {
        "batch_size": 32, "optimizer": None, "precision": "mixed_float16", "jit_compile": "true",
        "strategy": "mirrored",
    }  # fmt: skip
    assert set(others) == set(AXES)
    for axis, value in others.items():
        other = replace(SETTING, **{axis: value})
        assert other.words() != SETTING.words()
        assert other.words([axis]) != SETTING.words([axis])


def test_groups_are_ordered_by_model_then_setting_the_models_own_optimizer_first() -> None:
    own = replace(SETTING, optimizer=None)
    keys = [
        GroupKey(model="a", setting=own),
        GroupKey(model="a", setting=SETTING),
        GroupKey(model="a", setting=replace(own, batch_size=128)),
        GroupKey(model="b", setting=replace(own, batch_size=8)),
    ]
    assert sorted({*keys}) == keys


def test_trials_are_called_by_the_axes_in_which_they_differ() -> None:
    text = study_text("prefix:1")
    facts = {"net": world_facts()}
    one, several = (
        plan_trials(parse_study(asked, check_builders=False), facts)
        for asked in (text, text.replace("[8]", "[8, 16]"))
    )
    assert {"control 1", "prefix:1"} <= set(labels_of(one, ()).values())
    called = set(labels_of(several, ()).values())
    assert {"prefix:1 batch size 8", "prefix:1 batch size 16", "control 1 batch size 8"} <= called
    assert len(called) == len(several.trials)
