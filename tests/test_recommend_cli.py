"""`frostline recommend` on sweeps with made-up prices: what it prints, refuses and measures."""

from __future__ import annotations

import ast
import io
import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from local_executor import LocalExecutor
from recommend_kit import STUDY, chain, facts_of, publish
from rich.console import Console
from schedule_kit import FAKE, Fake, install_fake

from frostline.billing.run import Run
from frostline.cli import main
from frostline.errors import UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.measure.messages import Failed
from frostline.memory.peak_prediction import PeakPrediction
from frostline.policies import expand
from frostline.recommendation.first_answer import FirstAnswer, what_to_freeze
from frostline.recommendation.importance import read_importance
from frostline.recommendation.keras_code import keras_code
from frostline.recommendation.optimise import policy_of
from frostline.recommendation.recommend import recommend
from frostline.recommendation.recommendation import Recommendation
from frostline.recommendation.terminal import batch_words, rendered, verified_words
from frostline.recommendation.verify import VerifyError, verify
from frostline.recommendation.verify_batch import VerifiedBatch, verify_batch
from frostline.store.sweep import open_sweep
from frostline.study.study import Study
from frostline.sweep.status import status

FACTS = facts_of(chain(5), [[40, 4], [400], [30, 3], [300], [20]])
NORMS = {"l0": 5.0, "l1": 1.0, "l2": 1.0, "l3": 1.0, "l4": 1.0}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(tmp_path_factory.mktemp("sweep") / "out", FACTS, held_out=(1, 2, 3, 4))


def importance_file(folder: Path, text: str, name: str = "importance.csv") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def answered(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict]:
    assert main(["recommend", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["recommend", *map(str, arguments)]) == 2
    return " ".join(capsys.readouterr().err.split())


def test_the_answer_says_what_to_freeze_how_and_what_it_rests_on(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recommend", str(out), "--budget", "0.8"]) == 0
    printed = capsys.readouterr().out
    (found,) = answered(capsys, out, "--speedup", 1.25)
    assert "A layer counts by: parameter counts" in printed
    assert f"Freeze {len(found['frozen_layers'])} of 5 layers" in printed
    assert found["code"] in printed
    assert f"As a policy: {found['policy']}" in printed
    assert "No interval: only 4 configurations" in " ".join(printed.split())
    assert found["budget"] == 0.8
    assert found["predicted_share"] <= 0.8
    assert found["predicted_share"] == pytest.approx(1 / found["predicted_speedup"])
    assert sorted(found["frozen_layers"] + found["training_layers"]) == list(FACTS.by_name)
    kept = sum(FACTS.by_name[name].params for name in found["training_layers"])
    assert found["kept"] == pytest.approx(kept / FACTS.total_params)
    budgets = [point["budget"] for point in found["frontier"]]
    assert budgets == sorted(budgets)
    assert 0.8 in budgets
    assert budgets[-1] == 1
    assert found["frontier"][-1]["kept"] == pytest.approx(1)
    assert all(
        lower["kept"] <= higher["kept"] + 1e-9
        for lower, higher in zip(found["frontier"], found["frontier"][1:], strict=False)
    )
    assert found["measured"] is None


def test_with_enough_held_out_the_prediction_has_an_interval(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = facts_of(chain(8), [[10]] * 8)
    folder = publish(tmp_path / "out", facts, held_out=range(1, 8))
    (found,) = answered(capsys, folder, "--budget", 0.9)
    assert found["held_out"] >= 5
    assert found["share_low"] < found["predicted_share"] < found["share_high"]
    assert found["share_high"] / found["predicted_share"] == pytest.approx(1.05, rel=0.01)
    assert main(["recommend", str(folder), "--budget", "0.9"]) == 0
    assert "held-out predictions of this sweep" in " ".join(capsys.readouterr().out.split())


def test_the_budget_that_leaves_room_is_no_larger_than_what_leaves_room(tmp_path: Path) -> None:
    folder = publish(tmp_path / "out", FACTS)
    (found,) = recommend(folder, 0.9)
    fastest = found.fastest.share
    pick = replace(found.pick, budget=0.9, share=0.85)

    def said(share_high: float) -> str:
        answer = replace(found.answer, low=1 / share_high, high=2.0, held_out=9)
        console = Console(width=300, file=io.StringIO())
        console.print(rendered(replace(found, pick=pick, answer=answer)))
        return console.file.getvalue()

    room = 0.9 * 0.85 / 0.93
    assert room == pytest.approx(0.82258, abs=1e-5)
    assert "--budget 0.822 leaves room" in said(0.93)
    assert "no configuration is fast enough" in said(0.9 * 0.85 / (fastest - 1e-6))


def test_a_budget_below_the_fastest_configuration_names_that(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = answered(capsys, out, "--budget", 1)
    assert found["policy"] == "none"
    assert "Nothing is frozen" in found["code"]
    fastest = found["fastest"]["share"]
    said = refused(capsys, out, "--budget", 0.01)
    assert f"The fastest configuration is predicted at {fastest:.3f}" in said
    least = math.ceil(fastest * 1000) / 1000
    assert f"Ask for --budget {least:g} or more" in said
    (found,) = answered(capsys, out, "--budget", least)
    assert found["predicted_share"] == pytest.approx(fastest)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "pass --budget or --speedup"),
        (("--budget", 0.5, "--speedup", 2), "pass --budget or --speedup"),
        (("--budget", 50), "Did you mean 50%?"),
        (("--budget", "50%%"), "above 0"),
        (("--speedup", 1000), "freezing cannot make the step 1e+03 times as fast"),
        (("--budget", 0), "above 0"),
        (("--budget", 0.9, "--study", "x.toml"), "--study is for measuring the pick: pass --ver"),
        (("--budget", 0.9, "--trust-study"), "--trust-study is for measuring the pick"),
        (("--budget", 0.9, "--address", "auto"), "--address is for measuring the pick"),
        (("--budget", "nan"), "above 0"),
        (("--speedup", 0.5), "a factor of 1 or more"),
        (("--budget", 0.9, "--model", "nte"), "no model `nte`. Did you mean `net`?"),
        (("--budget", 0.9, "--setting", "batch=8"), "Did you mean `batch_size`?"),
        (("--budget", 0.9, "--setting", "batch_size"), "--setting batch_size=VALUE"),
        (("--budget", 0.9, "--setting", "batch_size=9"), "setting batch_size=9: not in this sweep"),
        (("--budget", 0.9, "--train", "l9"), "no layer `l9`"),
        (("--budget", 0.9, "--importance", "nowhere.csv"), "nowhere.csv: no such file"),
        (("--budget", 0.9, "--importance", "gradient_norm"), "`gradient_norms = true`"),
    ],
)  # fmt: skip
def test_wrong_use_is_refused_with_what_to_do(
    out: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[object, ...], said: str
) -> None:
    assert said in refused(capsys, out, *arguments)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("layer,importance\nl0,1\nl1,1\nl2,1\n", "no importance for `l3`, `l4` of model `net`"),
        ("layer,importance\nl0,1\nconv,1\n", "line 3: model `net` has no layer `conv`"),
        ("layer,importance\nl0,1\nl0,1\n", "line 3: layer `l0` is listed twice"),
        ("layer,importance\nl0,1\nconv,1\n", "With several models, choose one with --model."),
        ("layer,importance\nl0,-1\n", "line 2: -1.0 for layer `l0`; an importance is a finite"),
        ("layer,importance\nl0,NaN\n", "line 2: nan for layer `l0`"),
        ("layer,importance\nl0,inf\n", "line 2: inf for layer `l0`"),
        ("layer,importance\nl0,much\n", "line 2: `much` for layer `l0` is not a number"),
        ("layer,importance\nl0\n", "line 2: `None` for layer `l0` is not a number"),
        ("name,importance\nl0,1\n", "no column `layer` (it has `name`, `importance`)"),
        ("", "no column `layer` and no column `importance`"),
        ("layer,importance\n" + "".join(f"l{i},0\n" for i in range(5)), "every layer has import"),
    ],
)
def test_importance_files_are_checked_line_by_line(tmp_path: Path, text: str, said: str) -> None:
    path = importance_file(tmp_path, text)
    with pytest.raises(UsageError) as raised:
        read_importance(Path(path), FACTS)
    assert said in str(raised.value)
    assert path in str(raised.value)


def test_the_importance_of_a_layer_that_holds_others_is_shared_out(tmp_path: Path) -> None:
    """By parameters, among those that the file does not list: itself, if it owns any, included."""
    from test_policies import layer, model

    facts = model(
        layer("net/emb/tok", 0, params=(8, 2)),
        layer("net/emb", 1, params=(20, 10)),
        layer("net/a", 2),
        layer("head", 3),
    )
    listed = {
        "layer,importance\nemb,8\na,1\nhead,2\n": (2, 6, 1, 2),
        "layer,importance\nnet/emb,8\ntok,4\na,1\nhead,2\n": (4, 8, 1, 2),
        "layer,importance\nnet,5\nemb,8\nhead,2\n": (2, 6, 5, 2),
    }
    for text, values in listed.items():
        found = read_importance(Path(importance_file(tmp_path, text)), facts)
        assert tuple(found.by_layer[each.name] for each in facts.layers) == values
    twice = importance_file(tmp_path, "layer,importance\nemb,8\ntok,1\nemb,1\na,1\nhead,2\n")
    with pytest.raises(UsageError, match="line 4: `net/emb` is listed twice"):
        read_importance(Path(twice), facts)


def test_a_layer_that_holds_one_other_stands_for_it(tmp_path: Path) -> None:
    from test_policies import layer, model

    facts = model(layer("net/emb/tok", 0), layer("net/a", 1), layer("net/b/a", 2))
    end = "net/a,1\nnet/b/a,2\n"
    path = importance_file(tmp_path, f"layer,importance\nemb,8\n{end}")
    found = read_importance(Path(path), facts)
    assert found.by_layer == {"net/emb/tok": 8.0, "net/a": 1.0, "net/b/a": 2.0}
    twice = importance_file(tmp_path, f"layer,importance\nemb,8\ntok,1\n{end}")
    with pytest.raises(UsageError, match="line 2: `net/emb` is listed twice"):
        read_importance(Path(twice), facts)
    several = importance_file(tmp_path, "layer,importance\na,8\n")
    with pytest.raises(UsageError, match="line 2: `a` is the end of 2 names") as raised:
        read_importance(Path(several), facts)
    assert "regex" not in str(raised.value)


def test_a_picked_layer_that_holds_others_is_frozen_alone(tmp_path: Path) -> None:
    from test_policies import layer, model

    facts = model(layer("emb/tok", 0), layer("emb", 1), layer("head", 2))
    for picked in (("emb",), ("emb/tok", "emb"), ("emb/tok",)):
        (one,) = expand(policy_of(picked, facts), facts)
        assert one.frozen_variables == {v.path for n in picked for v in facts.by_name[n].variables}


def test_importances_come_from_csv_or_parquet_and_decide(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"l0": 100.0, "l1": 0.0, "l2": 1.5, "l3": 0.0, "l4": 0.0}
    rows = "".join(f'"{layer}", {value} ,x\n' for layer, value in values.items())
    csv = importance_file(tmp_path, f"\ufefflayer,importance,note\n{rows}")
    parquet = tmp_path / "importance.parquet"
    with duckdb.connect() as connection:
        connection.sql(f"select * from read_csv('{csv}', header = true)").write_parquet(
            str(parquet)
        )
    by_csv, by_parquet = (
        answered(capsys, out, "--budget", 0.9, "--importance", path)[0] for path in (csv, parquet)
    )
    assert by_csv["importance"] == "file"
    assert csv in by_csv["importance_source"]
    assert by_csv["importance_by_layer"] == by_parquet["importance_by_layer"] == values
    assert by_csv["frozen_layers"] == by_parquet["frozen_layers"]
    assert "l0" in by_csv["training_layers"]


def test_recorded_gradient_norms_come_before_parameter_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = publish(tmp_path / "out", FACTS, gradient_norms=NORMS)
    (found,) = answered(capsys, folder, "--budget", 0.9)
    assert found["importance"] == "gradient_norm"
    assert found["importance_by_layer"] == NORMS
    (found,) = answered(capsys, folder, "--budget", 0.9, "--importance", "params")
    assert found["importance"] == "params"
    assert main(["recommend", str(folder), "--budget", "0.9"]) == 0
    assert "A layer counts by: gradient norms of the baseline" in capsys.readouterr().out


def test_a_budget_in_per_cent_is_the_same(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answered(capsys, out, "--budget", "90%") == answered(capsys, out, "--budget", 0.9)


def test_the_head_trains_unless_told_otherwise(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = answered(capsys, out, "--budget", 1, "--importance", "params")
    fastest = found["fastest"]["share"]
    (found,) = answered(capsys, out, "--budget", fastest)
    assert "l4" in found["training_layers"]
    (free,) = answered(capsys, out, "--budget", fastest, "--freeze-head")
    assert free["fastest"]["share"] <= fastest


def test_the_frontier_has_each_configuration_once(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = answered(capsys, out, "--budget", 0.8)
    frozen = [tuple(point["frozen_layers"]) for point in found["frontier"]]
    assert len(frozen) == len(set(frozen))


def test_layers_that_must_train_do(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (free,) = answered(capsys, out, "--budget", 0.9)
    for name in ("l0", "l4", "head"):
        (bound,) = answered(capsys, out, "--budget", 0.98, "--train", name)
        assert ("l4" if name == "head" else name) in bound["training_layers"]
    said = refused(capsys, out, "--budget", free["fastest"]["share"], *(
        argument for name in FACTS.by_name for argument in ("--train", name)
    ))  # fmt: skip
    assert "or for fewer layers under --train" in said


def test_every_setting_is_answered_unless_one_is_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = publish(tmp_path / "out", FACTS, batch_sizes=(8, 16))
    found = answered(capsys, folder, "--budget", 0.9)
    assert [one["setting"]["batch_size"] for one in found] == [8, 16]
    (one,) = answered(capsys, folder, "--budget", 0.9, "--setting", "batch_size=16")
    assert one["setting"]["batch_size"] == 16


def test_what_one_setting_cannot_reach_leaves_the_others_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = publish(tmp_path / "out", FACTS, seed=0)
    publish(folder, FACTS, seed=2, batch_sizes=(16,))
    fastest = [one["fastest"]["share"] for one in answered(capsys, folder, "--budget", 1)]
    assert main(["recommend", str(folder), "--json", "--budget", f"{sum(fastest) / 2}"]) == 2
    printed = capsys.readouterr()
    (found,) = json.loads(printed.out)
    assert found["fastest"]["share"] == min(fastest)
    slower = (8, 16)[fastest.index(max(fastest))]
    assert f"batch size {slower}" in printed.err
    assert "cannot bring the step to" in printed.err


def test_a_sweep_without_profiles_says_what_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = publish(tmp_path / "out", FACTS, traced=False)
    said = refused(capsys, folder, "--budget", 0.9)
    assert "has no measured anchors to recommend from" in said
    assert f"frostline sweep STUDY.toml --out {folder}" in said
    assert "left a trace" in said


@pytest.mark.parametrize(
    ("name", "start"), [("a/b", "list:"), ("odd,name", "regex:"), ("a+norms", "regex:")]
)
def test_a_pick_is_a_policy_whatever_its_layers_are_called(name: str, start: str) -> None:
    first = replace(
        FACTS.layers[0],
        name=name,
        variables=tuple(
            replace(one, path=f"{name}/{one.name}", layer=name) for one in FACTS.layers[0].variables
        ),
    )
    facts = replace(FACTS, layers=(first, *FACTS.layers[1:]))
    policy = policy_of([name, "l2"], facts)
    assert policy.startswith(start)
    (expanded,) = expand(policy, facts)
    assert expanded.frozen_variables == {
        variable.path for layer in (first, facts.layers[2]) for variable in layer.variables
    }


def test_layers_without_a_known_place_are_looked_up_by_their_names() -> None:
    first = replace(FACTS.layers[0], name="vgg16/block1_conv1")
    second = replace(FACTS.layers[1], access='model.get_layer("both").forward_layer')
    facts = replace(FACTS, layers=(first, second, *FACTS.layers[2:]))
    code = keras_code(facts, ["vgg16/block1_conv1", "l1"])
    assert 'model.get_layer("vgg16").get_layer("block1_conv1"),' in code
    assert 'model.get_layer("both").forward_layer,' in code
    assert "compile it again" in code


@pytest.mark.parametrize(
    "access",
    [
        '__import__("os").system("touch owned")',
        "model); import os; os.system('x'",
        'model.get_layer("a").__class__',
        'model.get_layer(name="a")',
        'model.get_layer("a" + "b")',
        "model.layers[0:1]",
        "other.block",
        "[model for model in x]",
        "model.x\nimport os",
        "(" * 5000,
        "model" + ".a" * 100_000,
    ],
)
def test_what_no_recording_of_a_model_can_have_made_is_not_pasted(access: str) -> None:
    first = replace(FACTS.layers[0], name="vgg16/block1_conv1", access=access)
    code = keras_code(replace(FACTS, layers=(first, *FACTS.layers[1:])), [first.name])
    assert code.startswith('frozen = [\n    model.get_layer("vgg16").get_layer("block1_conv1"),\n]')


@pytest.mark.parametrize(
    "name", ['x"); import os; os.system("x', "two\nlines", "left\u202eright", 'it\'s "so"', "\\"]
)
def test_a_name_in_pasted_code_is_a_string_and_nothing_else(name: str) -> None:
    first = replace(FACTS.layers[0], name=name, access=None)
    second = replace(FACTS.layers[1], access=f"model.blocks[{name!r}].get_layer({name!r})")
    code = keras_code(replace(FACTS, layers=(first, second, *FACTS.layers[2:])), [name, "l1"])
    (frozen,) = [each for each in ast.parse(code).body if isinstance(each, ast.Assign)]
    strings = [each.value for each in ast.walk(frozen) if isinstance(each, ast.Constant)]
    assert strings == [name, name, name]
    assert all(line.isprintable() for line in code.splitlines())


def test_a_builder_that_only_out_names_is_not_called(
    tmp_path: Path, fake: Fake, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = publish(tmp_path / "out", FACTS)
    study = (folder / "study.toml").read_text()
    ready = 'builder = "frostline.models:mlp_sequential"'
    for line in ('builder = "os:system"', ready + '\ndata = "os:system"'):
        (folder / "study.toml").write_text(re.sub("builder = .*", line, study))
        assert main(["recommend", str(folder), "--budget", "0.9", "--verify"]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "names 'os:system': measuring would import and call that" in said
        assert "--trust-study" in said
    assert fake.runs() == []


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return install_fake(tmp_path / "fake", monkeypatch)


def verified(out: Path, study: Path | None, facts: ModelFacts = FACTS, budget: float = 0.9):
    def inspect(asked: Study, logs: Path) -> Mapping[str, ModelFacts | Failed]:
        return {model.name: facts for model in asked.models}

    (found,) = recommend(out, budget)
    return found, verify(
        out, found, study=study, trust_study=True, make_executor=LocalExecutor, inspect=inspect,
        process_module=FAKE,
    )  # fmt: skip


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A study file with its builder beside it."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "netmodels.py").write_text("def net():\n    return None\n")
    path = tmp_path / "here" / "study.toml"
    path.write_text(STUDY)
    return path


def test_verifying_adds_one_trial_and_sets_it_beside_the_prediction(
    tmp_path: Path, fake: Fake, beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = publish(tmp_path / "out", FACTS)
    found, first = verified(folder, beside)
    policy = found.answer.policy
    assert fake.runs().count(policy) == 1
    assert not first.measured_before
    assert (first.speedup, first.low, first.high) == (2.0, 1.99, 2.02)
    assert first.error == pytest.approx(found.answer.predicted_speedup / 2 - 1)
    assert first.outcome == "within"
    row = next(r for r in open_sweep(str(folder)).trial_rows() if r.trial_id == first.trial_id)
    assert row.policy == policy
    assert row.frozen_layers == found.pick.frozen_layers
    text = (folder / "study.toml").read_text()
    assert text == STUDY
    state = status(folder)
    assert (state.state, state.runs, state.planned) == ("interrupted", 1, None), (
        "the sweep is what it was before"
    )

    monkeypatch.chdir(beside.parent)  # OUT's own copy of the study, from beside the builders
    _, again = verified(folder, None)
    assert again.measured_before
    assert fake.runs().count(policy) == 1
    assert again.speedup == 2.0


def test_what_cannot_be_verified_says_why(
    tmp_path: Path, fake: Fake, beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = publish(tmp_path / "out", FACTS)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"pass --study that file[\s\S]*netmodels"):
        verified(folder, None)
    other = facts_of(chain(5), [[1]] * 5)
    with pytest.raises(UsageError, match="gives other variables now"):
        verified(folder, beside, facts=other)
    elsewhere = beside.with_name("other.toml")
    elsewhere.write_text(STUDY.replace('"demo"', '"other"'))
    with pytest.raises(UsageError, match="the study is 'other'"):
        verified(folder, elsewhere)
    with pytest.raises(UsageError, match="freezes nothing"):
        verified(folder, beside, budget=1.0)
    assert fake.runs() == []
    (found,) = recommend(folder, 0.9)
    fake.behave({found.answer.policy: ["fail"]})
    with pytest.raises(VerifyError, match="failed in check: net/conv2 moved"):
        verified(folder, beside)


def within(out: Path, memory_bytes: int) -> Recommendation:
    """A recommendation whose peak is 300 bytes and 200 more for each example; 1900 with eight."""
    (found,) = recommend(out, 0.9)
    peak = PeakPrediction(
        weights=100, optimizer_slots=200, batch=100, activations=1500, gradients=0, workspace=0,
        slack=0, tensors=(), layer=None, pass_=None, unknown=0,
    )  # fmt: skip
    return replace(found, memory_bytes=memory_bytes, peak=peak)


def test_where_no_freeze_shortens_the_step_the_first_answer_says_so(tmp_path: Path) -> None:
    (found,) = recommend(publish(tmp_path / "out", FACTS), 1.0)
    nothing = FirstAnswer(found=found, halves=False, most=1.0, facts=FACTS, error=None)
    assert what_to_freeze(nothing).startswith("No freeze of whole layers is predicted to shorten")


def test_with_nothing_to_freeze_the_memory_and_the_largest_batch_are_said(tmp_path: Path) -> None:
    folder = publish(tmp_path / "out", FACTS)
    (everything,) = recommend(folder, 1.0)
    assert not everything.pick.frozen_layers
    some = within(folder, 2320)
    found = replace(everything, memory_bytes=some.memory_bytes, peak=some.peak)
    console = Console(width=200, file=io.StringIO())
    console.print(rendered(found))
    said = console.file.getvalue()
    assert "Freeze nothing: the memory of 2.3 kB leaves room for every layer." in said
    assert "10 examples a batch would fit" in said


@pytest.mark.parametrize(
    ("behaviour", "outcome", "said"),
    [
        ("peak:2100", "fits", "it needed 2.1 kB, which fits into the 2.3 kB that were asked for"),
        ("peak:2321", "too large", "it needed 2.3 kB, which is more than the 2.3 kB"),
        ("OutOfMemory", "out of memory", "out of memory (predicted 2.3 kB)"),
    ],
)
def test_the_largest_batch_is_run_alone(
    behaviour: str, outcome: str, said: str, tmp_path: Path, fake: Fake, beside: Path
) -> None:
    folder = publish(tmp_path / "out", FACTS)
    before = sorted(path for path in folder.rglob("*") if path.is_file())
    fake.behave({"10": [behaviour]})
    ran = verify_batch(
        folder, within(folder, 2320), study=beside, trust_study=True, process_module=FAKE
    )

    assert [policy for _, policy in fake.requests("alone")] == ["10"]
    assert fake.requests("open") == [], "no baseline stands beside it"
    assert (ran.batch_size, ran.predicted_peak_bytes, ran.outcome) == (10, 2300, outcome)
    assert ran.error == (None if ran.peak_bytes is None else 2300 / ran.peak_bytes - 1)
    assert said in batch_words(ran).plain
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == before


def test_what_is_no_answer_about_the_largest_batch_says_why(
    tmp_path: Path, fake: Fake, beside: Path
) -> None:
    folder = publish(tmp_path / "out", FACTS)

    def ran(memory_bytes: int) -> VerifiedBatch:
        return verify_batch(
            folder, within(folder, memory_bytes), study=beside, trust_study=True,
            process_module=FAKE,
        )  # fmt: skip

    with pytest.raises(UsageError, match="not one example fits"):
        ran(499)
    with pytest.raises(UsageError, match="pass a smaller --memory"):
        ran(1 << 60)
    assert fake.requests("alone") == []
    fake.behave({"10": ["FreezeCheck"], "11": ["silent"]})
    with pytest.raises(VerifyError, match="10 examples could not be run"):
        ran(2300)
    with pytest.raises(VerifyError, match="its memory is not known: no perm"):
        ran(2500)


def test_a_verified_pick_has_a_bill_by_its_measurement(
    tmp_path: Path, fake: Fake, beside: Path
) -> None:
    folder = publish(tmp_path / "out", FACTS)
    run = Run(examples=8000, epochs=9, price_per_hour=7.2)
    (found,) = recommend(folder, 0.9, run=run)

    def inspect(asked: Study, logs: Path) -> Mapping[str, ModelFacts | Failed]:
        return {model.name: FACTS for model in asked.models}

    measured = verify(
        folder, found, study=beside, trust_study=True, make_executor=LocalExecutor,
        inspect=inspect, process_module=FAKE,
    )  # fmt: skip
    assert found.answer.billing is not None
    assert measured.bill is not None
    base = found.answer.billing.baseline.hours.value
    assert measured.bill.hours.value == pytest.approx(base / 2)
    assert measured.bill.hours.low == pytest.approx(base / 2.02)
    assert measured.bill.cost is not None
    assert measured.bill.cost.value == pytest.approx(7.2 * base / 2)
    assert "By this measurement the run takes" in verified_words(measured, found).plain
