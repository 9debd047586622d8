"""The names that `import frostline` offers, what they accept, how their values show themselves."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from built_trials import Built
from predict_kit import profiled, world, world_facts
from report_kit import EVIL_OP

import frostline
from frostline import notebook
from frostline.errors import UsageError
from frostline.store.outdir import TrialTables
from frostline.study.study import parse_study
from frostline.trial import Trial

EVIL = "<script>alert(1)</script>"


def evil_world(folder: Path) -> Path:
    """A sweep whose policies, op names and failures are hostile."""

    def tamper(trial: Trial, rows: TrialTables) -> TrialTables:
        ops = [op | {"graph_op": EVIL_OP} for op in rows.op_costs]
        return replace(profiled(rows), op_costs=ops)

    return world(folder, "prefix:*", f"prefix:2+regex:{EVIL}|l3", tamper=tamper)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world(
        tmp_path_factory.mktemp("sweep") / "out",
        "prefix:*", "suffix:*",
        tamper=lambda _trial, rows: profiled(rows),
    )  # fmt: skip


def offered_to_type_checkers() -> Iterator[tuple[str, str]]:
    """Name and module of what the front door imports for mypy and editors."""
    tree = ast.parse(Path(frostline.__file__).read_text())
    (guarded,) = (node for node in tree.body if isinstance(node, ast.If))
    for node in guarded.body:
        assert isinstance(node, ast.ImportFrom)
        assert node.module is not None
        yield from ((alias.name, node.module) for alias in node.names)


def test_every_offered_name_is_there_and_the_same_for_type_checkers():
    for name in frostline.__all__:
        assert getattr(frostline, name) is not None
        assert name in dir(frostline)
    assert dict(offered_to_type_checkers()) == frostline._MODULES
    assert frostline._MODULES.keys() < set(frostline.__all__)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'predicts'"):
        _ = frostline.predicts


CALLS: dict[str, Callable[[object], object]] = {
    "predict": lambda sweep: frostline.predict(sweep, ["prefix:2", "suffix:1"]).answers,
    "predict one": lambda sweep: frostline.predict(sweep, "prefix:*").answers,
    "explain": lambda sweep: frostline.explain(sweep, "prefix:2"),
    "diff": lambda sweep: frostline.diff(sweep, "control 1", "prefix:2"),
    "compare": lambda sweep: frostline.compare(sweep, sweep),
    "recommend": lambda sweep: frostline.recommend(sweep, budget=0.7).found,
}


@pytest.mark.parametrize("name", CALLS)
def test_a_sweep_may_be_open_or_a_path(name: str, out: Path):
    call = CALLS[name]
    assert call(frostline.open_sweep(out)) == call(out) == call(str(out))


def test_a_sweep_is_reported_and_attributed_again_by_its_path(tmp_path: Path):
    folder = world(tmp_path / "out", "prefix:2")
    assert frostline.report(folder) == f"{folder}/report/index.html"
    assert (folder / "report" / "index.html").is_file()
    done = frostline.reattribute(folder)
    assert done.rewritten == ()
    assert set(done.left) == set(frostline.open_sweep(folder).commits)
    assert repr(done).startswith("<Reattributed 0 trials: left as they are ")
    assert frostline.reattribute(frostline.open_sweep(folder)).left == done.left


def test_a_study_is_loaded_from_a_path_of_either_kind():
    path = Path(__file__).parent.parent / "studies" / "demo.toml"
    assert frostline.load_study(path) == frostline.load_study(str(path))


def test_a_recommendation_for_each_model_and_setting(tmp_path: Path):
    models = {"net": world_facts(), "small": world_facts("small", 4)}
    text = """
name = "world"
[[model]]
name = "net"
builder = "models:net"
[[model]]
name = "small"
builder = "models:net"
[train]
batch_size = [8]
[freeze]
policies = ["prefix:*"]
"""
    folder = world(tmp_path / "out", text=text, models=models)
    found = frostline.recommend(folder, 0.8, must_train=["head"])
    assert [one.key.model for one in found] == ["net", "small"]
    assert len(found) == 2
    assert found[0].pick.share <= 0.8
    assert found.failures == ()
    (one,) = frostline.recommend(folder, 0.8, model="small", setting={"batch_size": 8})
    assert one.key.model == "small"
    with pytest.raises(UsageError, match="no such axis"):
        frostline.recommend(folder, 0.8, setting={"batch": 8})
    fastest = sorted(one.fastest.share for one in found)
    some = frostline.recommend(folder, sum(fastest) / 2)
    assert len(some) == 1
    assert "cannot bring the step to" in str(some.failures[0])
    assert "cannot bring the step to" in Page(some._repr_html_()).text
    with pytest.raises(UsageError) as raised:
        frostline.recommend(folder, 0.01)
    assert str(raised.value).count("cannot bring the step to") == 2


class Page(HTMLParser):
    """The tags of some HTML, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


KNOWN_TAGS = {"table", "caption", "thead", "tbody", "tr", "th", "td", "p", "pre"}

SHOWN: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "Sweep": (frostline.open_sweep, ("world", "ok, 0 failed", "net")),
    "PredictedPolicies": (
        lambda out: frostline.predict(out, ["prefix:2", "suffix:1"]), ("prefix:2", "suffix:1"),
    ),
    "Explanation": (
        lambda out: frostline.explain(out, "prefix:2"), ("prefix:2", "faster"),
    ),
    "Difference": (
        lambda out: frostline.diff(out, "control 1", "prefix:2"), ("control 1", "prefix:2"),
    ),
    "Comparison": (
        lambda out: frostline.compare(out, out), ("same",),
    ),
    "Recommendation": (
        lambda out: frostline.recommend(out, 0.7)[0], ("net", "0.7"),
    ),
    "Study": (
        lambda out: parse_study((out / "study.toml").read_text(), check_builders=False),
        ("world", "net (models:net)", "prefix:*"),
    ),
    "SweepResult": (
        lambda _: frostline.SweepResult(
            planned=15, finished_before=3, ok=14, failed=1, wall_s=200.0, ray_start_s=4.0,
            inspect_s=9.0,
        ),
        ("14 of 15 trials ok", "3 min 20 s"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_values_show_what_they_are(name: str, out: Path):
    make, words = SHOWN[name]
    value = make(out)
    said = repr(value)
    assert said.startswith(f"<{name} ")
    assert said.endswith(">")
    assert len(said) < 600
    assert "\n" not in said
    page = Page(value._repr_html_())
    assert page.tags <= KNOWN_TAGS
    assert page.open == []
    for word in words:
        assert word in said
        assert word in page.text


def test_tables_in_notebooks_show_the_figures(out: Path):
    table = Page(frostline.predict(out, "prefix:2")._repr_html_()).text
    (answer,) = frostline.predict(out, "prefix:2").answers
    assert f"{answer.predicted_speedup:.2f}x" in table
    assert f"[{answer.low:.2f}, {answer.high:.2f}]" in table
    explained = Page(frostline.explain(out, "prefix:2")._repr_html_()).text
    assert "dX in frozen layers, no longer needed" in explained
    difference = frostline.diff(out, "control 1", "prefix:2")
    shown = Page(difference._repr_html_()).text
    assert "all ops" in shown
    assert all(group.label in shown for group in difference.groups)
    (found,) = frostline.recommend(out, 0.7)
    assert found.code in Page(found._repr_html_()).text
    assert Page(frostline.recommend(out, 0.7)._repr_html_()).text == Page(found._repr_html_()).text


def test_what_users_name_is_escaped(tmp_path: Path):
    folder = evil_world(tmp_path / "out")
    sweep = frostline.open_sweep(folder)
    policy = next(row.policy for row in sweep.trial_rows() if EVIL in row.policy)
    text = (folder / "study.toml").read_text()
    named = replace(parse_study(text, check_builders=False), name=EVIL)
    hostile = [
        frostline.predict(sweep, [policy]),
        frostline.explain(sweep, policy),
        frostline.diff(sweep, "control 1", policy),
        frostline.compare(sweep, sweep),
        named,
    ]
    for value in hostile:
        html = value._repr_html_()
        assert "<script" not in html
        assert "<img" not in html
        assert EVIL in Page(html).text
    found = frostline.recommend(sweep, 0.7)[0]
    answer = replace(found.answer, policy=EVIL)
    for value in (
        replace(found, answer=answer, code=EVIL),
        replace(found, importance=replace(found.importance, words=EVIL)),
    ):
        assert "<script" not in value._repr_html_()
        assert EVIL in Page(value._repr_html_()).text
    evil = world(tmp_path / EVIL.replace("/", "-"), "prefix:2")
    assert "<script" not in frostline.open_sweep(evil)._repr_html_()


def test_an_empty_sweep_and_a_trial_without_figures_show_themselves(tmp_path: Path):
    empty = world(tmp_path / "empty", "prefix:2", tamper=lambda _trial, _rows: None)
    assert "trials 0 ok, 0 failed; models none yet" in repr(frostline.open_sweep(empty))
    built = Built(folder=tmp_path / "built").controls()
    built.trial("prefix:2", [0, 1], status="failed", error_message=EVIL)
    explained = frostline.explain(built.sweep(), "prefix:2")
    assert "verdict failed" in repr(explained)
    assert "<script" not in explained._repr_html_()


def test_characters_that_act_or_leave_no_mark_are_shown_as_escapes(out: Path):
    name = "a\x1b]0;title\x07\u202eb\nc"
    study = parse_study((out / "study.toml").read_text(), check_builders=False)
    named = replace(study, name=name)
    assert "a\\x1b]0;title\\x07\\u202eb\\nc" in repr(named)
    for shown in (repr(named), named._repr_html_(), notebook.html_text(name, "pre")):
        assert not {"\x1b", "\x07", "\u202e"} & set(shown)


def test_long_tables_are_cut():
    rows = [(str(number), "x") for number in range(10_000)]
    html = notebook.html_table(("number", "word"), rows)
    assert html.count("<tr>") == notebook.MOST_ROWS + 2
    assert "and 9940 more rows" in html
    assert re.search("text-align:right", html)
