"""Bills of sweeps: of predictions, picks and measured trials, by options and by the study."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from local_executor import LocalExecutor
from predict_kit import changed, study_text, true_speedup, world, world_facts
from recommend_kit import chain, facts_of, publish
from schedule_kit import FAKE, install_fake

import frostline
from frostline.billing.words import amount_words
from frostline.cli import main
from frostline.errors import StudyError, SweepError, UsageError
from frostline.policies import expand
from frostline.prediction import predict
from frostline.reporting.make import content_of
from frostline.store.outdir import TrialTables
from frostline.store.sweep import open_sweep
from frostline.study.study import parse_study
from frostline.sweep.run import run_sweep
from frostline.trial import Trial
from frostline.words import policy_words

RUN = "\n[run]\nexamples = 1001\nepochs = 30\n"
ASKED = ("--examples", "1001", "--epochs", "30")
STEPS = 30 * 126  # batches of 8
POWER_W = 250.0


def powered(trial: Trial, rows: TrialTables) -> TrialTables:
    """The device draws the same in every anchor, and a tenth less in what is held out."""
    held_out = trial.anchor is None and not trial.is_control
    watts = POWER_W * (0.9 if held_out else 1.0)
    return changed(rows, energy_joules_per_step=watts * rows.trials[0]["step_ns"] / 1e9)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep without energies, as on a CPU, with enough held out for intervals."""
    return world(tmp_path_factory.mktemp("cpu") / "out", "prefix:*", "layer:*")


@pytest.fixture(scope="module")
def metered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep whose device counted its energy."""
    return world(tmp_path_factory.mktemp("gpu") / "out", "prefix:*", "layer:*", tamper=powered)


def predicted(capsys: pytest.CaptureFixture[str], out: Path, *options: str) -> list[dict]:
    assert main(["predict", str(out), "--freeze", "suffix:*", *options, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


# ---- Predictions


def test_predicted_hours_and_cost_are_those_of_the_predicted_step(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = predicted(capsys, out, *ASKED, "--price", "2.5")
    assert len(entries) == 5
    for entry in entries:
        (one,) = expand(entry["policy"], world_facts())
        step_ns = entry["baseline_step_ns"] / true_speedup(world_facts(), one.frozen_variables)
        assert entry["run_steps"] == STEPS
        assert entry["hours"] == pytest.approx(STEPS * step_ns / 3.6e12)
        assert entry["hours_low"] == pytest.approx(
            STEPS * entry["baseline_step_ns"] / entry["high"] / 3.6e12
        )
        assert entry["hours_low"] <= entry["hours"] <= entry["hours_high"]
        for end in ("", "_low", "_high"):
            assert entry[f"cost{end}"] == pytest.approx(2.5 * entry[f"hours{end}"])
        assert entry["kwh"] is entry["kwh_from"] is entry["kwh_error"] is None
        assert entry["baseline_hours"] == pytest.approx(STEPS * entry["baseline_step_ns"] / 3.6e12)


def test_without_a_run_every_value_of_the_bill_is_null(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_run = predicted(capsys, out, *ASKED)
    without = predicted(capsys, out)
    bill = {
        "run_steps", "hours", "hours_low", "hours_high", "kwh", "kwh_low", "kwh_high", "kwh_from",
        "kwh_error", "cost", "cost_low", "cost_high", "baseline_hours", "baseline_kwh",
        "baseline_cost",
    }  # fmt: skip
    for entry, other in zip(without, with_run, strict=True):
        assert entry.keys() == other.keys()
        assert {name: value for name, value in entry.items() if name in bill} == dict.fromkeys(bill)
        assert all(entry[name] == other[name] for name in entry.keys() - bill)


def test_energy_is_the_power_of_the_anchors_times_the_predicted_time(
    metered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for entry in predicted(capsys, metered, *ASKED):
        assert entry["kwh"] == pytest.approx(entry["hours"] * POWER_W / 1000)
        assert entry["kwh_from"] == "predicted"
        assert entry["kwh_error"] == pytest.approx(1 / 0.9 - 1)
        assert entry["kwh_low"] == pytest.approx(entry["kwh"] * 0.9)
        assert entry["kwh_high"] == pytest.approx(entry["kwh"] / 0.9)
        assert entry["baseline_kwh"] == pytest.approx(entry["baseline_hours"] * POWER_W / 1000)


def test_no_held_out_trial_has_a_say_in_predicted_energies(tmp_path: Path, metered: Path) -> None:
    run = frostline.Run(examples=1001, epochs=30)
    alone = world(tmp_path / "out", "anchors", tamper=powered)
    with_all, with_none = (
        [answer.bill.kwh for answer in predict(str(sweep), ["suffix:*"], run=run).answers]
        for sweep in (metered, alone)
    )
    assert [kwh.value for kwh in with_all] == [kwh.value for kwh in with_none]
    assert {(kwh.low, kwh.high) for kwh in with_none} == {(None, None)}


def test_watts_are_the_user_s_figure_with_and_without_a_meter(
    out: Path, metered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for sweep in (out, metered):
        for entry in predicted(capsys, sweep, *ASKED, "--watts", "60"):
            assert entry["kwh"] == pytest.approx(0.06 * entry["hours"])
            assert entry["kwh_high"] == pytest.approx(0.06 * entry["hours_high"])
            assert entry["kwh_from"] == "watts"
        assert main(["predict", str(sweep), "--freeze", "suffix:1", *ASKED, "--watts", "60"]) == 0
        assert "at 60 W, a figure of yours" in " ".join(capsys.readouterr().out.split())


def test_the_terminal_shows_the_bill_beside_the_measured_baseline_s(
    out: Path, metered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(out), "--freeze", "suffix:1", *ASKED, "--price", "2"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "A run of 30 epochs of 1,001 examples at a price of 2 an hour takes" in said
    assert "nothing frozen, measured" in said
    assert "3,780 steps of 8 examples" in said
    assert "--watts W takes a figure of yours" in said
    assert main(["predict", str(metered), "--freeze", "suffix:1", *ASKED]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "kWh is the power of the anchors, 250 W, times the time" in said
    assert "the energy was off by 11% on average and 11% at most" in said


def test_batches_that_differ_are_counted_as_they_ran(tmp_path: Path) -> None:
    def uneven(_trial: Trial, rows: TrialTables) -> TrialTables:
        return changed(rows, examples_per_second=6.5 * 1e9 / rows.trials[0]["step_ns"])

    sweep = world(tmp_path / "out", "anchors", tamper=uneven)
    (answer,) = predict(
        str(sweep), ["prefix:1"], run=frostline.Run(examples=1001, epochs=2)
    ).answers
    assert answer.bill.steps == 2 * math.ceil(1001 / 6.5)


# ---- Picks


def test_a_pick_has_its_bill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = facts_of(chain(8), [[10]] * 8)
    folder = publish(tmp_path / "out", facts, held_out=range(1, 8))
    asked = ["recommend", str(folder), "--budget", "0.9", *ASKED, "--price", "3", "--watts", "100"]
    assert main([*asked, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["hours"] == pytest.approx(STEPS * found["predicted_step_ns"] / 3.6e12, rel=1e-6)
    assert found["hours"] / found["baseline_hours"] == pytest.approx(found["predicted_share"])
    assert found["cost"] == pytest.approx(3 * found["hours"])
    assert found["kwh"] == pytest.approx(0.1 * found["hours"])
    assert main(asked) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "A run of 30 epochs of 1,001 examples at a price of 3 an hour: " in said
    assert " h instead of " in said
    assert "; cost " in said
    assert main(["recommend", str(folder), "--budget", "0.9", "--json"]) == 0
    (without,) = json.loads(capsys.readouterr().out)
    assert without["hours"] is without["cost"] is None
    assert without.keys() == found.keys()


# ---- Measured trials


def test_the_report_has_a_bill_for_each_measured_trial(
    metered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = tmp_path / "report"
    assert main(["report", str(metered), *ASKED, "--price", "2", "--out", str(where)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "A run of 30 epochs of 1,001 examples at a price of 2 an hour, at each trial's" in said
    assert "the energy that the device counted" in said
    sweep = open_sweep(str(metered))
    run = frostline.Run(examples=1001, epochs=30, price_per_hour=2.0)
    content = content_of(sweep, run=run)
    (section,) = content.sections
    assert section.bill is not None
    assert section.bill.columns == ("Policy", "Frozen", "Speedup", "Hours", "kWh", "Cost")
    bills = frostline.bill(sweep, run)
    assert [row[0] for row in section.bill.rows] == [policy_words(each.row) for each in bills]
    for row, each in zip(section.bill.rows, bills, strict=True):
        assert each.bill.hours.value == pytest.approx(STEPS * each.row.step_ns / 3.6e12)
        assert each.bill.cost.value == pytest.approx(2 * each.bill.hours.value)
        joules = each.row.energy_joules_per_step
        assert each.bill.kwh.value == pytest.approx(STEPS * joules / 3.6e6)
        assert row[3:] == tuple(
            amount_words(amount) for amount in (each.bill.hours, each.bill.kwh, each.bill.cost)
        )
    page = (where / "index.html").read_text()
    assert "at a price of 2 an hour" in page
    assert ">kWh</th>" in page


def test_without_a_run_the_report_says_nothing_of_it(out: Path) -> None:
    content = content_of(open_sweep(str(out)))
    assert [section.bill for section in content.sections] == [None]


def test_notebooks_have_the_bills_of_measured_trials(metered: Path, out: Path) -> None:
    bills = frostline.bill(metered, frostline.Run(examples=1001, epochs=30))
    rows = [row for row in open_sweep(str(metered)).trial_rows() if row.status == "ok"]
    assert {each.row.trial_id for each in bills} == {row.trial_id for row in rows}
    assert all(each.bill.steps == STEPS for each in bills)
    assert repr(bills).startswith("<Bills a run of 30 epochs of 1,001 examples: ")
    assert "<td" in bills._repr_html_()
    assert bills[0].row.is_control
    found = frostline.predict(out, "prefix:2", run=frostline.Run(examples=10, epochs=1))
    assert "nothing frozen, measured" in found._repr_html_()
    with pytest.raises(UsageError, match="no run is described"):
        frostline.bill(out)


# ---- The study


def test_the_study_describes_the_run_and_options_go_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = study_text("anchors") + RUN + "price_per_hour = 4\n"
    out = world(tmp_path / "out", text=text)
    for entry in predicted(capsys, out):
        assert entry["run_steps"] == STEPS
        assert entry["cost"] == pytest.approx(4 * entry["hours"])
    for entry in predicted(capsys, out, "--epochs", "60", "--price", "1"):
        assert entry["run_steps"] == 2 * STEPS
        assert entry["cost"] == pytest.approx(entry["hours"])
    assert content_of(open_sweep(str(out))).sections[0].bill
    assert len(frostline.bill(out)) == len(open_sweep(str(out)).commits)


def test_a_run_changes_no_trial_and_a_study_without_one_is_what_it_was() -> None:
    plain = parse_study(study_text("anchors"), check_builders=False)
    empty = parse_study(study_text("anchors") + "\n[run]\n", check_builders=False)
    described = parse_study(study_text("anchors") + RUN, check_builders=False)
    assert empty.digest == plain.digest
    assert described.digest != plain.digest
    assert described.run == frostline.Run(examples=1001, epochs=30)
    assert plain.run == frostline.Run()


def test_a_run_that_is_added_later_is_kept_and_measures_nothing_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = install_fake(tmp_path / "fake", monkeypatch)
    out = tmp_path / "out"
    text = study_text("anchors").replace("[resources]", "[measure]\nprofile_steps = 0\n[resources]")

    def sweep(study: str) -> None:
        run_sweep(
            parse_study(study, check_builders=False), str(out), make_executor=LocalExecutor,
            inspect=lambda _study, _logs: {"net": world_facts()}, process_module=FAKE,
        )  # fmt: skip

    sweep(text)
    runs, commits = len(fake.runs()), open_sweep(str(out)).commits
    sweep(text + RUN)
    assert (len(fake.runs()), open_sweep(str(out)).commits) == (runs, commits)
    assert (out / "study.toml").read_text() == text + RUN
    assert frostline.bill(out).run == frostline.Run(examples=1001, epochs=30)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("examples = 0", "run.examples = 0: must be at least 1"),
        ("examples = 2.5", "run.examples = 2.5: must be a whole number"),
        ("epochs = -1", "run.epochs = -1: must be at least 1"),
        ("epochs = 1_000_001", "must be at most 1000000"),
        ("price_per_hour = 0", "must be greater than 0"),
        ("price_per_hour = nan", "run.price_per_hour = nan"),
        ("watts = inf", "run.watts = inf"),
        ('watts = "300"', "must be a number"),
        ("example = 5", "Did you mean `examples`?"),
        ("price = 5", "Did you mean `price_per_hour`?"),
    ],
)
def test_a_wrong_run_is_refused_in_the_study_and_in_out(
    line: str, says: str, tmp_path: Path, out: Path
) -> None:
    text = study_text("anchors") + f"\n[run]\n{line}\n"
    with pytest.raises(StudyError) as raised:
        parse_study(text, check_builders=False)
    assert says in str(raised.value)
    folder = world(tmp_path / "out", "anchors")
    (folder / "study.toml").write_text(text)
    with pytest.raises(SweepError, match=r"study\.toml cannot be used: run\.") as refused:
        content_of(open_sweep(str(folder)))
    assert says in str(refused.value)


def test_a_study_that_cannot_be_read_describes_no_run(tmp_path: Path) -> None:
    folder = world(tmp_path / "out", "anchors")
    (folder / "study.toml").write_text("name = = 3")
    assert content_of(open_sweep(str(folder))).sections[0].bill is None
    (folder / "study.toml").unlink()
    run = frostline.Run(examples=8, epochs=1)
    assert len(frostline.bill(folder, run)) == len(open_sweep(str(folder)).commits)


# ---- Wrong options

COMMANDS: dict[str, Callable[[str], list[str]]] = {
    "predict": lambda out: ["predict", out, "--freeze", "prefix:1"],
    "recommend": lambda out: ["recommend", out, "--budget", "0.9"],
    "report": lambda out: ["report", out],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--watts", "300"], "pass --examples N and --epochs E as well"),
        (["--price", "3", "--examples", "5"], "pass --epochs E as well"),
        (["--examples", "0", "--epochs", "1"], "--examples 0: the number of examples in an epoch"),
        (["--examples", "5", "--epochs", "-1"], "--epochs -1: the number of epochs must be"),
        (["--examples", "5", "--epochs", "9" * 50], "must be a whole number from 1 to 1,000,000"),
        ([*ASKED, "--price", "nan"], "--price nan: the price of an hour"),
        ([*ASKED, "--price", "0"], "above 0 and at most 1,000,000,000"),
        ([*ASKED, "--watts", "inf"], "--watts inf: the power while it trains"),
        ([*ASKED, "--watts", "-5"], "--watts -5"),
        (["--examples", "many", "--epochs", "1"], "--examples"),
    ],
)
def test_wrong_options_are_refused_with_what_to_do(
    command: str, options: list[str], says: str, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*COMMANDS[command](str(out)), *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert says in " ".join(captured.err.split())
    assert "Traceback" not in captured.err


def test_bills_fit_eighty_columns_and_lose_nothing(
    metered: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run = frostline.Run(examples=10**9, epochs=1000, price_per_hour=1234.5)
    asked = ["--examples", str(10**9), "--epochs", "1000", "--price", "1234.5"]
    assert main(["report", str(metered), *asked]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines()[:-1])) <= 80
    for each in frostline.bill(metered, run):
        for amount in (each.bill.hours, each.bill.kwh, each.bill.cost):
            value, _, interval = amount_words(amount).partition(" ")
            assert value in said
            assert interval in said
