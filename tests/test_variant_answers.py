"""What is said of variants whose baseline is the plain model's: answers, bills, importances."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from memory_kit import memory_model
from predict_kit import changed, varied_world
from recommend_kit import KEY, chain, facts_of, group_of, publish

import frostline
from frostline.billing.run import Run
from frostline.cli import main
from frostline.errors import UsageError
from frostline.prediction import PredictedGroup, predict
from frostline.recommendation.recommend import recommend
from frostline.store.outdir import TrialTables
from frostline.trial import Trial

RUN = Run(examples=1000, epochs=2)


def metered(trial: Trial, rows: TrialTables) -> TrialTables:
    """A device that draws 100 W, and 1% more for each further control."""
    watts = 100 * (1 + trial.replicate / 100)
    return changed(rows, energy_joules_per_step=watts * rows.trials[0]["step_ns"] / 1e9)


def reported(capsys: pytest.CaptureFixture[str], folder: Path) -> tuple[dict, dict]:
    assert main(["report", str(folder), "--json"]) == 0
    plain, low = json.loads(capsys.readouterr().out)["groups"]
    assert (plain["variant"], low["variant"]) == (None, "low")
    return plain, low


def test_a_variant_that_is_slower_throughout_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = varied_world(tmp_path / "out", 4.0)
    plain, low = reported(capsys, folder)
    assert plain["half_the_time"]["is_reached"]
    assert low["half_the_time"] is None
    assert low["first_sentences"][0] == (
        "No freeze halves the step time: every configuration takes longer than the plain model's "
        "baseline. The fastest is predicted at 1.18 of its step."
    )
    assert main(["recommend", str(folder), "--budget", "0.9"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "every configuration takes longer than the plain model's baseline. The fastest" in said
    assert "so no budget can be met" in said
    assert "Ask for --budget" not in said


def test_a_variant_that_halves_the_step_as_it_is_needs_no_freeze(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, low = reported(capsys, varied_world(tmp_path / "out", 0.4))
    assert low["half_the_time"]["is_reached"]
    assert low["half_the_time"]["frozen_layers"] == []
    assert low["first_sentences"][0].startswith(
        "With everything training, a step takes half the time of the plain model's baseline or "
        "less. Predicted: 0.40 of the baseline's step, 2.50x"
    )


def test_a_variant_s_bill_has_the_plain_baseline_s_energy(tmp_path: Path) -> None:
    folder = varied_world(tmp_path / "out", 0.8, also=metered)
    plain, low = predict(str(folder), ["prefix:2"], run=RUN).groups
    for group in (plain, low):
        assert group.billing is not None
        base = group.billing.baseline
        assert base.kwh is not None
        assert base.kwh.value == pytest.approx(base.hours.value * 101 / 1000)
        assert base.kwh.low == pytest.approx(base.kwh.value / (101 / 100))
    measured = [each for each in frostline.bill(folder, RUN) if each.row.variant == "low"]
    assert measured
    for each in measured:
        assert each.bill.kwh is not None
        assert each.bill.kwh.low == pytest.approx(each.bill.kwh.value / (101 / 100))


def test_gradient_norms_are_not_advised_for_a_variant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = varied_world(tmp_path / "out", 0.8)
    assert main(["recommend", str(folder), "--budget", "0.5"]) == 0
    plain, low = " ".join(capsys.readouterr().out.split()).split("net variant low")
    assert "gradient_norms = true" in plain
    assert "Pass --importance FILE for what matters to you." in low
    assert "gradient_norms" not in low
    with pytest.raises(UsageError, match="recorded of the plain model alone; pass --importance"):
        recommend(folder, 0.9, importance="gradient_norm")


def test_norms_that_lack_a_layer_are_passed_over_unless_they_are_asked_for(tmp_path: Path) -> None:
    facts = facts_of(chain(3), [[10]] * 3)
    folder = publish(tmp_path / "out", facts, gradient_norms={"l0": 1.0, "l1": 2.0})
    (found,) = recommend(folder, 1.0)
    assert found.importance.measure == "params"
    with pytest.raises(UsageError, match="no gradient norm is recorded for `l2`"):
        recommend(folder, 1.0, importance="gradient_norm")


def remembered(group: PredictedGroup, batch_size: int, **changes: object) -> PredictedGroup:
    """The group under another batch size, with a memory model."""
    setting = replace(KEY.setting, batch_size=batch_size)
    found = replace(group, key=replace(KEY, setting=setting, **changes))  # type: ignore[arg-type]
    found.__dict__["memory"] = memory_model(group.facts, batch_size)
    return found


def test_the_largest_batch_rests_on_one_variant_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = facts_of(chain(3), [[10]] * 3)
    group = group_of(facts, 1)
    other_kind = replace(remembered(group, 64), device_kind="L4")
    other_kind.__dict__["memory"] = memory_model(facts, 64)
    groups = (
        remembered(group, 8), remembered(group, 16), remembered(group, 32, variant="remat"),
        other_kind,
    )  # fmt: skip
    monkeypatch.setattr(
        "frostline.recommendation.recommend.chosen_groups", lambda *_, **__: (groups, ())
    )
    found = recommend(publish(tmp_path / "out", facts), 1.0, importance="params",
                      memory_bytes=10**9)  # fmt: skip
    assert [sorted(each.other_batches) for each in found] == [[16], [8], [], []]
