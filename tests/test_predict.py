"""Predictions of a sweep, held against a world whose step times are exactly their ops' sums."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from built_trials import row_of
from hypothesis import given
from hypothesis import strategies as st
from local_executor import LocalExecutor
from memory_kit import memory_model
from predict_kit import (
    DX,
    LAYERS,
    UNIT_NS,
    changed,
    profiled,
    study_text,
    true_speedup,
    world,
    world_facts,
)
from recommend_kit import chain, facts_of, group_of
from schedule_kit import FAKE, Fake, install_fake

from frostline.cli import main
from frostline.errors import PolicyError, SweepError, UsageError
from frostline.policies import expand
from frostline.prediction import THREE_ANCHOR, predict, predictions, sort_groups, write_predictions
from frostline.prediction.interval import LEAST_HELD_OUT, covered, spread
from frostline.store.outdir import TrialTables
from frostline.store.sweep import Sweep, open_sweep
from frostline.study.study import parse_study
from frostline.sweep.run import run_sweep
from frostline.trial import AXES, Trial

HELD_OUT = ("prefix:*", "random:4@0.5")
NAIVE = ("frozen_fraction", "params_2to1", "flops_2to1", "two_point", "elastic_trainer")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return install_fake(tmp_path / "fake", monkeypatch)


def stored(sweep: Sweep) -> dict[tuple[str, str], dict]:
    rows = sweep.table("predictions").to_pylist()
    found = {(row["trial_id"], row["predictor"]): row for row in rows}
    assert len(found) == len(rows)
    return found


def mtimes(out: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in (out / "tables").rglob("*.parquet")}


def test_every_configuration_of_an_additive_world_is_predicted_exactly(tmp_path: Path) -> None:
    sweep = open_sweep(str(world(tmp_path / "out", "anchors")))
    asked = ["prefix:*", "suffix:*", "layer:*", "random:20@0.4", "list:net/l1,net/l4"]
    found = predict(sweep, asked).answers
    known = world_facts()

    assert len(found) == len([one for policy in asked for one in expand(policy, known)])
    for answer in found:
        (one,) = expand(answer.policy, known)
        truth = true_speedup(known, one.frozen_variables)
        assert answer.predicted_speedup == pytest.approx(truth, rel=1e-9)
        assert answer.predicted_step_ns == pytest.approx(answer.baseline_step_ns / truth, abs=1)
        assert set(answer.frozen_layers) == {
            path.rpartition("/")[0] for path in one.frozen_variables
        }


def test_what_the_input_pipeline_does_ahead_has_no_price(tmp_path: Path) -> None:
    """Its thread is blocked for a while that differs from profile to profile."""

    def prefetching(trial: Trial, rows: TrialTables) -> TrialTables:
        ops: list[dict] = list(rows.op_costs)  # type: ignore[arg-type]
        blocked_ns = 10 * UNIT_NS * (1 + len(trial.frozen_variables) % 3)
        ahead = {
            **ops[0], "layer": None, "pass": "input", "op_name": "Iterator::Root::Generator",
            "rule": "input:ahead", "graph_op": None, "ns_per_step": blocked_ns,
        }  # fmt: skip
        rows = profiled(replace(rows, op_costs=[*ops, ahead]))
        return changed(rows, input_ahead_ns=blocked_ns)

    plain = open_sweep(str(world(tmp_path / "plain", "prefix:*", tamper=lambda _, r: profiled(r))))
    blocked = open_sweep(str(world(tmp_path / "ahead", "prefix:*", tamper=prefetching)))
    steps = [
        [each.predicted_speedup for each in predict(sweep, "prefix:*").answers]
        for sweep in (plain, blocked)
    ]
    assert steps[0] == steps[1] != []
    rows = {row.trial_id: row for row in plain.trial_rows()}
    for row in blocked.trial_rows():
        assert row.passes_ns == rows[row.trial_id].passes_ns
        assert (row.input_ns or 0) > (row.input_ahead_ns or 0) > 0


def test_every_measured_trial_gets_every_predictor(tmp_path: Path) -> None:
    def fail_one(trial: Trial, rows: TrialTables) -> TrialTables:
        if trial.policy != "prefix:2":
            return rows
        nothing = dict.fromkeys(("step_ns", "baseline_step_ns", "speedup", "trace_steps"))
        return TrialTables(
            trial_id=trial.trial_id,
            trials=changed(rows, status="failed", **nothing).trials,
        )

    out = world(tmp_path / "out", *HELD_OUT, tamper=fail_one)
    written, notices = write_predictions(open_sweep(str(out)))
    sweep = open_sweep(str(out))
    ok = [row for row in sweep.trial_rows() if row.status == "ok"]

    assert notices == ()
    assert written == len(ok) == len(sweep.commits) - 1
    rows = stored(sweep)
    assert set(rows) == {(row.trial_id, name) for row in ok for name in (THREE_ANCHOR, *NAIVE)}
    for row in ok:
        mine = rows[row.trial_id, THREE_ANCHOR]
        assert mine["predicted_speedup"] == pytest.approx(row.speedup, rel=1e-9)
        assert mine["measured_speedup"] == row.speedup
        assert row.predicted_step_ns == mine["predicted_step_ns"]
        assert row.predicted_step_ns == round(row.baseline_step_ns / mine["predicted_speedup"])
    (failed,) = [row for row in sweep.trial_rows() if row.status == "failed"]
    assert failed.predicted_step_ns is None


def test_without_an_anchor_the_rest_is_predicted_and_what_is_not_is_named(tmp_path: Path) -> None:
    # GIVEN a sweep in which the anchor that shows layers passed through has failed
    def fail_one(trial: Trial, rows: TrialTables) -> TrialTables:
        if trial.anchor != "pass_through":
            return rows
        nothing = dict.fromkeys(("step_ns", "baseline_step_ns", "speedup", "trace_steps"))
        return TrialTables(
            trial_id=trial.trial_id,
            trials=changed(rows, status="failed", **nothing).trials,
        )

    out = world(tmp_path / "out", "prefix:2", "layer:3", tamper=fail_one)
    # WHEN predictions are written
    _, notices = write_predictions(open_sweep(str(out)))
    # THEN a prefix, which passes nothing through, has one
    sweep = open_sweep(str(out))
    predicted = {row.policy: row.predicted_step_ns is not None for row in sweep.trial_rows()}
    assert predicted["prefix:2"]
    # AND the layer in the middle has none, with the reason
    assert not predicted["layer:3"]
    (notice,) = notices
    assert notice.startswith("no prediction for `layer:3`, net, ")
    assert "in mode 'pass_through'" in notice


def test_anchors_are_known_by_their_configuration(tmp_path: Path) -> None:
    out = world(tmp_path / "out", "prefix:*", "norms+layer:1")
    write_predictions(open_sweep(str(out)))
    sweep = open_sweep(str(out))
    anchors = {key for key, row in stored(sweep).items() if row["is_anchor"]}
    policies = Counter(
        row.policy for row in sweep.trial_rows() if (row.trial_id, NAIVE[0]) in anchors
    )

    assert policies == {"none": 3, "prefix:5": 1, "anchors:pass_through": 1}


def tampered_with(trial: Trial, rows: TrialTables) -> TrialTables:
    """Everything about a trial that is no anchor and no control is wrong."""
    if trial.anchor is not None or trial.is_control:
        return rows
    costs = [{**row, "ns_per_step": 7 * row["ns_per_step"] + 1} for row in rows.op_costs]
    graph = [{**row, "needed_by": []} for row in rows.graph_ops]
    return replace(changed(rows, speedup=9.0), op_costs=costs, graph_ops=graph)


def test_no_trial_but_the_anchors_has_a_say(tmp_path: Path) -> None:
    full = world(tmp_path / "full", *HELD_OUT)
    wrong = world(tmp_path / "wrong", *HELD_OUT, tamper=tampered_with)
    removed = Path(shutil.copytree(full, tmp_path / "removed"))
    gone = [
        row.trial_id
        for row in open_sweep(str(removed)).trial_rows()
        if row.anchor is None and not row.is_control
    ]
    for path in [path for name in gone for path in removed.rglob(f"{name}.parquet")]:
        path.unlink()
    assert len(gone) > 5

    def three_anchor(out: Path) -> dict[str, tuple]:
        write_predictions(open_sweep(str(out)))
        return {
            trial: (row["predicted_speedup"], row["predicted_step_ns"], row["is_anchor"])
            for (trial, predictor), row in stored(open_sweep(str(out))).items()
            if predictor == THREE_ANCHOR
        }

    truth, without = three_anchor(full), three_anchor(removed)
    assert three_anchor(wrong) == truth
    assert without.keys() == truth.keys() - set(gone)
    assert without == {trial: truth[trial] for trial in without}
    asked = ["prefix:*", "random:9@0.3"]
    assert [
        each.predicted_speedup for each in predict(open_sweep(str(removed)), asked).answers
    ] == [each.predicted_speedup for each in predict(open_sweep(str(full)), asked).answers]


def test_a_disturbed_control_does_not_stand_for_the_baseline(tmp_path: Path) -> None:
    def disturb(trial: Trial, rows: TrialTables) -> TrialTables:
        if not (trial.is_control and trial.replicate == 0):
            return rows
        slow = f"gradient/{LAYERS[3]}/dX"
        return replace(
            rows,
            op_costs=[
                {
                    **row,
                    "ns_per_step": row["ns_per_step"]
                    + UNIT_NS * 9 * DX[3] * (row["op_name"] == slow),
                }
                for row in rows.op_costs
            ],
        )

    sweep = open_sweep(str(world(tmp_path / "out", "anchors", tamper=disturb)))
    (answer,) = predict(sweep, ["prefix:2"]).answers
    (one,) = expand("prefix:2", world_facts())
    assert answer.predicted_speedup == pytest.approx(
        true_speedup(world_facts(), one.frozen_variables)
    )


def test_writing_again_changes_no_file_and_never_withdraws_a_commit(tmp_path: Path) -> None:
    out = world(tmp_path / "out", "layer:*")
    first, _ = write_predictions(open_sweep(str(out)))
    before = mtimes(out)
    again, _ = write_predictions(open_sweep(str(out)))

    assert first == len(open_sweep(str(out)).commits)
    assert again == 0
    assert mtimes(out) == before

    victim = next((out / "tables" / "predictions").iterdir())
    victim.unlink()
    repaired, _ = write_predictions(open_sweep(str(out)))
    assert repaired == 1
    assert victim.exists()
    assert {path for path, at in mtimes(out).items() if before[path] != at} == {str(victim)}


def test_without_anchors_the_naive_predictors_answer_alone(tmp_path: Path) -> None:
    out = world(tmp_path / "out", *HELD_OUT)
    write_predictions(open_sweep(str(out)))
    assert any(row.predicted_step_ns for row in open_sweep(str(out)).trial_rows())

    world(out, *HELD_OUT, tamper=lambda _trial, rows: changed(rows, trace_steps=None))
    _, (notice,) = write_predictions(open_sweep(str(out)))
    sweep = open_sweep(str(out))
    assert "net, batch size 8" in notice
    assert "profile_steps" in notice
    assert all(row.predicted_step_ns is None for row in sweep.trial_rows())
    rows = stored(sweep)
    assert all(
        row["predicted_speedup"] is None for key, row in rows.items() if key[1] == THREE_ANCHOR
    )
    assert all(
        row["predicted_speedup"]
        for key, row in rows.items()
        if key[1] in ("params_2to1", "flops_2to1")
    )


def test_an_anchor_that_was_not_measured_is_missed_only_where_it_is_needed(tmp_path: Path) -> None:
    out = world(
        tmp_path / "out", "layer:1",
        tamper=lambda trial, rows: None if trial.anchor == "pass_through" else rows,
    )  # fmt: skip
    sweep = open_sweep(str(out))
    found = predict(sweep, ["prefix:*"])
    assert [answer.policy for answer in found.answers] == [f"prefix:{k}" for k in range(1, 6)]
    assert found.notices == ()
    with pytest.raises(UsageError, match=r"suffix:2.*pass_through.*anchors"):
        predict(sweep, ["suffix:2"])
    (fitted,), _ = sort_groups(sweep)
    assert all(
        each.predicted_speedup for each in predictions(fitted) if each.predictor == THREE_ANCHOR
    )


def test_answers_say_what_they_rest_on(tmp_path: Path) -> None:
    def slower(trial: Trial, rows: TrialTables) -> TrialTables:
        held = trial.anchor is None and not trial.is_control
        return changed(rows, speedup=rows.trials[0]["speedup"] * (0.9 if held else 1.0))

    out = world(tmp_path / "out", "layer:*", tamper=slower)
    found = predict(open_sweep(str(out)), ["layer:2", "suffix:2", "all_but_head", "none"])
    measured, new, anchor, none = found.answers

    assert [each.is_anchor for each in found.answers] == [False, False, True, True]
    assert measured.measured_speedup == pytest.approx(measured.predicted_speedup * 0.9)
    assert new.measured_speedup is None
    assert anchor.measured_speedup == pytest.approx(anchor.predicted_speedup)
    assert none.predicted_speedup == none.measured_speedup == 1.0
    for each in found.answers:
        assert each.held_out == 5
        assert each.held_out_error == pytest.approx(1 / 0.9 - 1)
        assert each.low == pytest.approx(each.predicted_speedup * 0.9)
        assert each.high == pytest.approx(each.predicted_speedup / 0.9)
        assert each.noise_floor == pytest.approx(0.01)


def test_the_anchors_alone_give_predictions_without_an_interval(tmp_path: Path, capsys) -> None:
    out = world(tmp_path / "out", "anchors")
    assert len(open_sweep(str(out)).commits) == 5
    answer, *_ = predict(open_sweep(str(out)), ["prefix:*"]).answers
    assert (answer.low, answer.high, answer.held_out_error, answer.held_out) == (
        None,
        None,
        None,
        0,
    )

    assert main(["predict", str(out), "--freeze", "prefix:2"]) == 0
    assert "Made from the anchors alone" in capsys.readouterr().out


def test_each_setting_and_each_model_that_fits_is_answered(tmp_path: Path) -> None:
    text = study_text("anchors").replace("[8]", "[8, 16]")
    text = text.replace("[train]", '[[model]]\nname = "small"\nbuilder = "m:s"\n[train]')
    models = {"net": world_facts(), "small": world_facts("small", 3)}
    sweep = open_sweep(str(world(tmp_path / "out", text=text, models=models)))

    found = predict(sweep, ["prefix:2", "prefix:4"])
    assert [(each.model, each.setting.batch_size, each.policy) for each in found.answers] == [
        ("net", 8, "prefix:2"), ("net", 8, "prefix:4"), ("net", 16, "prefix:2"),
        ("net", 16, "prefix:4"), ("small", 8, "prefix:2"), ("small", 16, "prefix:2"),
    ]  # fmt: skip
    (notice,) = found.notices
    assert "small" in notice
    only = predict(sweep, ["prefix:2"], model="small")
    assert {each.model for each in only.answers} == {"small"}
    with pytest.raises(PolicyError, match="prefix:4"):
        predict(sweep, ["prefix:4"], model="small")
    with pytest.raises(PolicyError, match=r"\A[^\n]*`net`[^\n]*\n[^\n]*`small`[^\n]*\Z"):
        predict(sweep, ["prefix:90"])  # one reason a model, however many settings it has
    with pytest.raises(UsageError, match="`small`"):
        predict(sweep, ["prefix:2"], model="smal")


def test_granularity_and_seed_are_the_study_s(tmp_path: Path) -> None:
    text = study_text("random:3@0.5").replace('"world"', '"world"\nseed = 7')
    sweep = open_sweep(str(world(tmp_path / "out", text=text)))
    asked = predict(sweep, ["random:3@0.5"]).answers
    measured = {row.policy: row.frozen_layers for row in sweep.trial_rows()}
    assert len(asked) == 3
    for answer in asked:
        assert answer.measured_speedup is not None
        assert measured.get(answer.policy, answer.frozen_layers) == answer.frozen_layers


def test_json_has_an_entry_for_each_configuration(tmp_path: Path, capsys) -> None:
    out = world(tmp_path / "out", "layer:*")
    assert main(["predict", str(out), "--freeze", "prefix:*", "--freeze", "norms", "--json"]) == 0
    captured = capsys.readouterr()
    entries = json.loads(captured.out)
    assert [entry["policy"] for entry in entries] == [f"prefix:{k}" for k in range(1, 6)]
    assert "norms" in captured.err
    for entry in entries:
        assert entry["model"] == "net"
        assert entry["frozen_layers"] == list(LAYERS[: int(entry["policy"].partition(":")[2])])
        assert entry["low"] <= entry["predicted_speedup"] <= entry["high"]
        setting = {axis: entry[axis] for axis in AXES}
        assert setting == {
            "batch_size": 8, "optimizer": None, "precision": "float32", "jit_compile": "auto",
            "strategy": "single",
        }  # fmt: skip


def test_the_table_names_error_and_noise_floor(tmp_path: Path, capsys) -> None:
    out = world(tmp_path / "out", "layer:*")
    assert main(["predict", str(out), "--freeze", "suffix:3", "--freeze", "all_but_head"]) == 0
    said = capsys.readouterr().out
    assert "suffix:3" in said
    assert "5 configurations" in said
    assert "Noise floor ±1" in said
    assert "An anchor" in " ".join(said.split())


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["--freeze", "prefx:2"], "`prefix`"),
        (["--freeze", "regex:.*"], "nothing would be left to train"),
        (["--freeze", "prefix:6"], "at most 5"),
        (["--freeze", "layer:net/l9"], "net/l"),
        (["--freeze", "norms"], "matches nothing"),
        (["--freeze", "prefix:1", "--model", "nett"], "`net`"),
        ([], "--freeze"),
    ],
)
def test_wrong_questions_are_refused(
    arguments: list[str], advice: str, tmp_path: Path, capsys
) -> None:
    out = world(tmp_path / "out", "anchors")
    assert main(["predict", str(out), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert advice in captured.err


def test_places_without_anchors_are_refused(tmp_path: Path, capsys) -> None:
    untraced = world(
        tmp_path / "untraced",
        "layer:*",
        tamper=lambda _trial, rows: changed(rows, trace_steps=None),
    )
    assert main(["predict", str(untraced), "--freeze", "prefix:1"]) == 2
    assert "profile_steps" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    for place in ("empty", "nowhere"):
        assert main(["predict", str(tmp_path / place), "--freeze", "prefix:1"]) == 2
    anchored = world(tmp_path / "anchored", "anchors")
    (anchored / "models" / "net.json").unlink()
    with pytest.raises(SweepError, match=r"models/net\.json"):
        predict(open_sweep(str(anchored)), ["prefix:1"])
    (anchored / "study.toml").unlink()
    with pytest.raises(SweepError, match=r"study\.toml"):
        predict(open_sweep(str(anchored)), ["prefix:1"])


def test_a_step_without_a_graph_is_said_to_be_one(tmp_path: Path) -> None:
    out = world(
        tmp_path / "out", "anchors", tamper=lambda _trial, rows: replace(rows, graph_ops=())
    )
    with pytest.raises(SweepError, match="could not be analysed"):
        predict(open_sweep(str(out)), ["prefix:1"])


def test_a_sweep_writes_predictions_and_a_resumed_one_completes_them(
    fake: Fake, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    text = study_text("anchors").replace("[resources]", "[measure]\nprofile_steps = 0\n[resources]")

    def sweep() -> None:
        run_sweep(
            parse_study(text, check_builders=False), str(out), make_executor=LocalExecutor,
            inspect=lambda _study, _logs: {"net": world_facts()}, process_module=FAKE,
        )  # fmt: skip

    sweep()
    rows = stored(open_sweep(str(out)))
    assert Counter(predictor for _, predictor in rows) == dict.fromkeys((THREE_ANCHOR, *NAIVE), 5)
    files = sorted((out / "tables" / "predictions").iterdir())
    files[0].unlink()
    runs = len(fake.runs())
    sweep()
    assert stored(open_sweep(str(out))) == rows
    assert len(fake.runs()) == runs


@given(st.lists(st.floats(-0.5, 2.0), max_size=60))
def test_an_interval_holds_the_share_of_errors_that_it_promises(errors: list[float]) -> None:
    factor = spread(errors)
    if len(errors) < LEAST_HELD_OUT:
        assert factor is None
        return
    assert factor is not None
    inside = sum(abs(math.log1p(error)) <= math.log1p(factor) + 1e-12 for error in errors)
    assert inside >= covered(len(errors)) * len(errors)
    assert covered(len(errors)) == pytest.approx(min(0.95, len(errors) / (len(errors) + 1)))


def test_naive_peaks_rest_on_the_controls_whose_peak_is_known() -> None:
    facts = facts_of(chain(3), [[10]] * 3)
    controls = tuple(
        row_of(
            trial_id=f"control-{number}", is_control=True, frozen_variables=[],
            peak_memory_bytes=peak, peak_memory_source=None if peak is None else "allocator",
        )
        for number, peak in enumerate((None, 1000, 3000))
    )  # fmt: skip
    group = replace(group_of(facts, 1), rows=controls[:1], controls=controls)
    group.__dict__["memory"] = memory_model(facts, 1)
    peaks = {each.predictor: each.predicted_peak_bytes for each in predictions(group)}
    assert peaks["baseline"] == 2000
    unknown = replace(group, controls=controls[:1])
    unknown.__dict__["memory"] = memory_model(facts, 1)
    assert "baseline" not in {each.predictor for each in predictions(unknown)}
