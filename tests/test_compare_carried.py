"""What of A's order holds on B, by predictions from B's anchors; models that differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from compare_kit import contents, rows
from predict_kit import changed, study_text, true_speedup, world, world_facts

import frostline
from frostline.comparison.matching import KnownModel, differences
from frostline.errors import UsageError
from frostline.store.outdir import TrialTables
from frostline.study.study import parse_study
from frostline.trial import Trial
from frostline.variant import Lora, Remat, Variant

KNOWN = world_facts()


def anchors_only(trial: Trial, rows: TrialTables) -> TrialTables | None:
    return rows if trial.is_anchor else None


def group_of(a: Path, b: Path, **options):
    (group,) = frostline.compare(a, b, **options).groups
    return group


def test_anchors_of_b_predict_the_other_configurations_of_a(tmp_path: Path):
    a = world(tmp_path / "a", "prefix:*", "suffix:*", "layer:*")
    b = world(tmp_path / "b", "prefix:*", "suffix:*", "layer:*", tamper=anchors_only)
    group = group_of(a, b)
    assert group.only_a
    for one in group.only_a:
        assert one.a is not None
        assert one.prediction is not None
        trial = next(
            row for row in frostline.open_sweep(a).trial_rows() if row.trial_id == one.a.trial_id
        )
        truth = true_speedup(KNOWN, frozenset(trial.frozen_variables))
        assert one.prediction.speedup.value == pytest.approx(truth, rel=1e-3)
        assert not one.prediction.is_anchor
    carried = group.carried
    assert carried is not None
    assert carried.predicted == len(group.only_a)
    assert carried.error_of == "A"
    assert carried.order.reversed == 0
    assert 0 < carried.order.same == carried.order.pairs


def test_other_trials_of_b_change_no_prediction(tmp_path: Path):
    def slower(trial: Trial, rows: TrialTables) -> TrialTables:
        if trial.is_anchor:
            return rows
        return changed(rows, speedup=0.5, speedup_low=0.49, speedup_high=0.51)

    a = world(tmp_path / "a", "prefix:*", "suffix:*")
    plain, tampered = (
        {
            one.policy: one.prediction.speedup.value
            for one in group_of(
                a, world(tmp_path / name, "prefix:*", "suffix:*", tamper=tamper)
            ).of_a
            if one.prediction is not None
        }
        for name, tamper in (("b", lambda _trial, rows: rows), ("c", slower))
    )
    assert plain == tampered


def test_where_b_has_no_traces_the_reason_is_told(tmp_path: Path):
    def untraced(_trial: Trial, rows: TrialTables) -> TrialTables:
        return replace(changed(rows, trace_steps=None), op_costs=())

    a = world(tmp_path / "a", "prefix:*")
    b = world(tmp_path / "b", "prefix:*", tamper=untraced)
    group = group_of(a, b)
    assert group.carried is None
    assert "no control of it left a trace" in group.not_carried
    assert all(one.prediction is None for one in group.of_a)


def test_other_kwargs_are_another_model_whose_order_alone_is_compared(tmp_path: Path):
    text = study_text("prefix:*")
    a = world(tmp_path / "a", text=text)
    b = world(
        tmp_path / "b",
        text=text.replace('"models:net"', '"models:net"\nkwargs = { side = 96 }'),
    )
    group = group_of(a, b)
    assert group.differences == ('kwargs {} (A), {"side":96} (B)',)
    assert all(one.speedups is None for one in group.configurations)
    assert group.order is not None
    assert group.order.reversed == 0
    with pytest.raises(UsageError, match="nothing to judge"):
        frostline.compare(a, b, gate="3%")


def test_another_builder_of_the_same_model_is_noted_and_judged(tmp_path: Path):
    text = study_text("prefix:*")
    a = world(tmp_path / "a", text=text)
    b = world(tmp_path / "b", text=text.replace("models:net", "nets:make"))
    group = group_of(a, b)
    assert group.differences == ()
    assert group.notes == ("builder models:net (A), nets:make (B)",)
    assert {one.speedups.verdict for one in group.configurations if one.speedups} == {"same"}


def test_variables_of_other_shapes_are_another_model(tmp_path: Path):
    def widened(facts):
        layers = tuple(
            replace(
                layer,
                variables=tuple(
                    replace(variable, shape=(7, *variable.shape)) for variable in layer.variables
                ),
            )
            for layer in facts.layers
        )
        return replace(facts, layers=layers)

    a = world(tmp_path / "a", "prefix:*")
    b = world(tmp_path / "b", "prefix:*", models={"net": widened(world_facts())})
    group = group_of(a, b)
    (said,) = group.differences
    assert said.startswith("shapes of ")
    smaller = world(tmp_path / "c", "prefix:1", models={"net": world_facts(layers=4)})
    (said,) = group_of(a, smaller).differences
    assert "in one model only" in said


def test_models_of_one_side_are_named(tmp_path: Path):
    both = study_text("prefix:*") + '\n[[model]]\nname = "other"\nbuilder = "models:net"\n'
    models = {"net": world_facts(), "other": world_facts("other", 4)}
    a = world(tmp_path / "a", text=both, models=models)
    b = world(tmp_path / "b", "prefix:*")
    found = frostline.compare(a, b)
    assert [group.model for group in found.groups] == ["net"]
    assert [title.partition(",")[0] for title in found.only_a] == ["other"]
    assert found.only_b == ()
    assert [group.model for group in frostline.compare(a, a, model="other").groups] == ["other"]


def test_variants_of_one_name_that_differ_are_another_model():
    def spec(**changes: object) -> KnownModel:
        (model,) = parse_study(study_text("prefix:*"), check_builders=False).model_specs()
        return KnownModel(spec=model.varied(Variant(name="small", **changes)), facts=None)

    (group,) = contents(rows(1)).groups
    four, eight = spec(lora=Lora(rank=4)), spec(lora=Lora(rank=8, alpha=2.0, layers=("q*",)))
    assert differences(group, group, four, four) == ()
    assert differences(group, group, four, eight) == (
        "variant LoRA of rank 4 (A), LoRA of rank 8 and alpha 2 on q* (B)",
    )
    both = spec(quantize="int8", remat=Remat(mode="full"))
    (said,) = differences(group, group, four, both)
    assert said.endswith("quantised to int8, remat full (B)")
