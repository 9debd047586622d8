"""Sweeps over several kinds of device: what one kind measured says nothing about another."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import duckdb
import predict_kit
import pytest
from predict_kit import changed, true_speedup, world, world_facts

import frostline
from frostline.analyse import summarise
from frostline.cli import main
from frostline.policies import expand
from frostline.prediction import THREE_ANCHOR, predict, sort_groups, write_predictions
from frostline.recommendation.first_answer import first_answers, first_sentences
from frostline.reporting.make import content_of
from frostline.store.outdir import TrialTables
from frostline.store.sweep import open_sweep
from frostline.trial import Trial

TABLES = [field.name for field in fields(TrialTables) if field.name != "trial_id"]
POLICIES = ("prefix:2", "prefix:4", "suffix:2")


def on(kind: str) -> Callable[[Trial, TrialTables], TrialTables]:
    """The rows of a trial as that kind of device measured them, under an id of their own."""

    def measured(_trial: Trial, rows: TrialTables) -> TrialTables:
        name = f"{rows.trial_id}-{kind}"
        renamed = {
            table: [{**row, "trial_id": name} for row in getattr(rows, table)] for table in TABLES
        }
        return changed(replace(rows, trial_id=name, **renamed), device_kind=kind)

    return measured


def truths() -> dict[str, float]:
    known = world_facts()
    return {
        one.policy: true_speedup(known, one.frozen_variables)
        for policy in POLICIES
        for one in expand(policy, known)
    }


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, float]]]:
    """Every trial ran on two kinds, one of them slow at dW; and what is true on either."""
    folder = tmp_path_factory.mktemp("both") / "out"
    world(folder, *POLICIES, tamper=on("A100"))
    truth = {"A100": truths()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict_kit, "DW", tuple(3 * each for each in predict_kit.DW))
        world(folder, *POLICIES, tamper=on("L4"))
        truth["L4"] = truths()
    return folder, truth


def one_lacks_its_anchors(trial: Trial, rows: TrialTables) -> TrialTables:
    """Half of a sweep on either kind: the L4 measured nothing but the head's training."""
    return changed(rows, device_kind="L4" if trial.anchor == "pruned" else "A100")


def test_each_kind_is_predicted_from_its_own_anchors(both) -> None:
    folder, truth = both
    found = predict(str(folder), POLICIES)
    assert found.notices == ()
    assert [group.title.rpartition(", ")[2] for group in found.groups] == ["on A100", "on L4"]
    for answer in found.answers:
        expected = truth[answer.device_kind][answer.policy]
        assert answer.predicted_speedup == pytest.approx(expected, rel=1e-3)
        assert answer.measured_speedup == pytest.approx(expected)
    steps = [group.baseline_step_ns for group in sort_groups(open_sweep(str(folder)))[0]]
    assert steps[0] < steps[1]


def test_the_table_holds_each_trial_beside_its_own_kind_s_prediction(both) -> None:
    folder, _ = both
    write_predictions(open_sweep(str(folder)))
    rows = duckdb.sql(
        f"""SELECT device_kind, count(*), max(abs(predicted_speedup / measured_speedup - 1))
        FROM '{folder}/tables/predictions/*.parquet' JOIN '{folder}/tables/trials/*.parquet' t
        USING (trial_id) WHERE predictor = '{THREE_ANCHOR}' GROUP BY 1 ORDER BY 1"""
    ).fetchall()
    assert [kind for kind, *_ in rows] == ["A100", "L4"]
    assert rows[0][1] == rows[1][1] > 5
    assert max(error for *_, error in rows) < 0.01


def test_what_to_freeze_is_said_of_each_kind(both, capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = both
    assert main(["recommend", str(folder), "--budget", "0.6", "--json"]) == 0
    one, other = json.loads(capsys.readouterr().out)
    assert (one["device_kind"], other["device_kind"]) == ("A100", "L4")
    assert (one["variant"], other["variant"]) == (None, None)
    assert one["baseline_step_ns"] < other["baseline_step_ns"]
    sweep = open_sweep(str(folder))
    summary = summarise(sweep.trial_rows())
    for answer, group in zip(first_answers(sweep, summary), summary.groups, strict=True):
        said = first_sentences(answer, group)
        assert "freeze" in said[0]
        assert "is not known" not in said[0]
    content = content_of(sweep)
    assert all(section.errors for section in content.sections)


def test_a_comparison_predicts_from_the_kind_that_it_compares(both, tmp_path: Path) -> None:
    folder, truth = both

    def anchors_alone(trial: Trial, rows: TrialTables) -> TrialTables | None:
        return on("A100")(trial, rows) if trial.is_anchor else None

    b = world(tmp_path / "b", *POLICIES, tamper=anchors_alone)
    found = frostline.compare(folder, b)
    (group,) = found.groups
    assert (group.a.device_kind, group.b.device_kind) == ("A100", "A100")
    assert len(found.only_a) == 1
    for one in group.only_a:
        assert one.prediction is not None
        expected = truth["A100"][one.policy]
        assert one.prediction.speedup.value == pytest.approx(expected, rel=1e-3)
    assert group.carried is not None


def test_what_a_kind_lacks_is_named_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = world(tmp_path / "out", *POLICIES, tamper=one_lacks_its_anchors)
    found = predict(str(folder), ["all_but_head", "none"])
    assert [answer.policy for answer in found.answers] == ["none"]
    assert len(found.notices) == 2
    for notice, kind, elsewhere in zip(found.notices, ("L4", "A100"), ("A100", "L4"), strict=True):
        assert f"on {kind}: " in notice
        assert f"other trials of it ran on {elsewhere}, and the anchors of one kind" in notice
        assert "run the study on one kind, on a new OUT" in notice
    sweep = open_sweep(str(folder))
    summary = summarise(sweep.trial_rows())
    on_l4 = dict(zip([group.device_kind for group in summary.groups],
                     first_answers(sweep, summary), strict=True))["L4"]  # fmt: skip
    assert on_l4 is not None
    assert "other trials of it ran on A100" in on_l4.why_not
    _, (rest,) = sort_groups(sweep)
    assert rest.naive.layers
    assert {layer.dw_ns for layer in rest.naive.layers.values()} == {0}, "no baseline's profile"
