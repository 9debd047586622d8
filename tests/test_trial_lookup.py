"""Trials by what people call them, and advice where nobody is called so."""

from dataclasses import replace

import pytest

from frostline.analyse.lookup import find_trial
from frostline.errors import UsageError
from frostline.store.schema import TABLES
from frostline.store.trial_row import TrialRow


@pytest.fixture
def rows(sweep_rows: list[dict]) -> list[TrialRow]:
    nothing = {column.name: None for column in TABLES["trials"]}
    for row in sweep_rows:
        if row["policy"] == "all_but_head":
            row["aliases"] = ["prefix:8"]
    return [TrialRow.from_mapping(nothing | row) for row in sweep_rows]


def test_by_id_policy_alias_and_shown_name(rows):
    by_policy = find_trial(rows, "prefix:3")
    assert by_policy.policy == "prefix:3"
    assert find_trial(rows, by_policy.trial_id) is by_policy
    assert find_trial(rows, by_policy.trial_id[:9]) is by_policy
    assert find_trial(rows, " prefix:3 ") is by_policy
    assert find_trial(rows, "prefix:8").policy == "all_but_head"
    assert find_trial(rows, "control 2").replicate == 1


def test_a_failed_trial_is_found(rows):
    assert find_trial(rows, "regex:<script>alert(1)</script>").status == "failed"


def test_a_policy_under_two_settings_lists_both(rows, make_row):
    nothing = {column.name: None for column in TABLES["trials"]}
    other = TrialRow.from_mapping(nothing | make_row("prefix:3", range(3), 1.5, batch_size=64))
    object.__setattr__(other, "trial_id", "net-other")
    with pytest.raises(UsageError, match="2 trials") as raised:
        find_trial([*rows, other], "prefix:3")
    assert "batch size 16" in str(raised.value)
    assert "net-other" in str(raised.value)
    assert find_trial([*rows, other], "net-other") is other


def test_none_is_three_controls(rows):
    with pytest.raises(UsageError, match="3 trials") as raised:
        find_trial(rows, "none")
    assert all(f"control {number}" in str(raised.value) for number in (1, 2, 3))


def test_an_ambiguous_start_lists_candidates_and_an_empty_name_fits_nobody(rows):
    with pytest.raises(UsageError, match=r"write one of their ids"):
        find_trial(rows, "net-")
    with pytest.raises(UsageError, match="no trial of this sweep is called ''"):
        find_trial(rows, "")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("prefx:3", "prefix:3"), ("Control 2", "control 2"), ("sufix:4", "suffix:4")],
)
def test_the_nearest_is_suggested(rows, typed, meant):
    with pytest.raises(UsageError, match=f"Did you mean `{meant}`"):
        find_trial(rows, typed)


def test_a_sweep_without_a_trial_says_so():
    with pytest.raises(UsageError, match="no trial of this sweep is committed yet"):
        find_trial([], "prefix:3")


def test_a_layer_goes_by_any_name_that_a_study_takes(rows):
    """GIVEN a trial of `layer:base/a` WHEN it is asked for by `layer:a` THEN it is found."""
    from test_policies import layer, model

    known = model(layer("base/a", 0), layer("base/b", 1), layer("head", 2), name="net")
    paths = {
        "layer:base/a": ("base/a/kernel", "base/a/bias"),
        "layer:base": ("base/a/kernel", "base/a/bias", "base/b/kernel", "base/b/bias"),
    }
    named = [
        replace(rows[0], trial_id=f"net-{number}", policy=policy, frozen_variables=frozen,
                model="net", aliases=())
        for number, (policy, frozen) in enumerate(paths.items())
    ]  # fmt: skip
    for asked in ("layer:a", "list:a", "layer:base/a", "regex:base/a"):
        assert find_trial(named, asked, lambda _: known).policy == "layer:base/a"
    assert find_trial(named, "list:b,a", lambda _: known).policy == "layer:base"
    varied = [
        replace(row, trial_id=f"{row.trial_id}-low", variant="low", policy=f"{row.policy}x")
        for row in named
    ]
    both = [*varied, *named]
    assert find_trial(both, "layer:a", lambda _: known).trial_id == "net-0"
    assert find_trial(both, "low: layer:a", lambda _: known).trial_id == "net-0-low"
    with pytest.raises(UsageError, match="no trial of this sweep is called"):
        find_trial(varied, "layer:a", lambda _: known)
    for asked in ("layer:b", "layer:nowhere", "prefix:1", "layer:("):
        with pytest.raises(UsageError, match="no trial of this sweep is called"):
            find_trial(named, asked, lambda _: known)
    with pytest.raises(UsageError, match="no trial of this sweep is called"):
        find_trial(named, "layer:a", lambda _: None)
