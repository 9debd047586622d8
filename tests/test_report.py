"""The report: what a reader finds on the page and in the figures, and what must not be there."""

import errno
import json
import re
import runpy
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from built_trials import MS, Built, Chain
from predict_kit import changed, profiled, world
from pyarrow.fs import LocalFileSystem
from report_kit import EVIL_LAYER, EVIL_OP, hostile, on_another, write_sweep

from frostline.analyse import summarise
from frostline.cli import main
from frostline.errors import FrostlineError, SweepError
from frostline.reporting.content import ReportContent
from frostline.reporting.make import content_of, make_report_apart, report
from frostline.reporting.page import page
from frostline.reporting.page_limits import shown_trials, spread, spread_by
from frostline.reporting.palette import FAMILIES, family_of
from frostline.reporting.render import render_figures
from frostline.reporting.trial_table import profile_link
from frostline.store.address import Address
from frostline.store.outdir import OutDir, TrialTables
from frostline.store.remote import RemoteFiles
from frostline.store.sweep import Sweep, open_sweep
from frostline.store.trial_row import TrialRow
from frostline.words import duration_s, floor, megabytes, milliseconds, share, size

MakeSweep = Callable[..., Path]
DATA = Path(__file__).parent / "data" / "sweep_v1"


class Page(HTMLParser):
    """Tags with their attributes, the text of a page, and what its scripts read."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        (self.scripts if self._in_script else self.words).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def data(self) -> dict:
        return json.loads(self.scripts[0])


@pytest.fixture(scope="module")
def module_rows() -> list[dict]:
    from conftest import demo_rows

    return list(demo_rows())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, module_rows) -> Path:
    """OUT of the demo sweep with rows in every table, hostile names, and its report."""
    out = write_sweep(tmp_path_factory.mktemp("out"), map(hostile, module_rows))
    report(open_sweep(str(out)))
    return out


@pytest.fixture(scope="module")
def html(written: Path) -> str:
    return (written / "report" / "index.html").read_text()


def content_with(make_sweep: MakeSweep, rows: list[dict]) -> ReportContent:
    return content_of(open_sweep(str(make_sweep(rows))))


# ---- What a reader finds


def test_the_page_says_the_answer_the_noise_and_why_a_trial_failed(html: str):
    text = Page(html).text
    assert "Fastest is all_but_head with 2.60x [2.50, 2.72]" in text
    assert "17 trials, 1 failed" in text
    assert "±2.0%, from 3 controls" in text
    assert "no measurable difference" in text
    assert "failed in check: FreezeCheck: <b>net/conv2</b>/moving_mean changed" in text
    assert "Test CPU" in text
    assert "1.02x (profiled / unprofiled step, median)" in text
    assert "· on Test CPU" in html[html.index("<header>") : html.index("</header>")]


def test_the_answer_weighs_the_frozen_fraction_against_the_alternatives(html: str):
    answer = Page(html).text.partition("Policy")[0]
    assert re.search(r"rank correlation \+0\.\d\d \[[+-]\d\.\d\d, \+\d\.\d\d\]", answer)
    assert re.search(r"a straight line explains \d+% \[\d+, \d+\] of the variance", answer)
    assert "predicts 12 configurations that took no part in it with a mean error of 2.0%" in answer
    assert "beside a noise floor of 2.0%" in answer


def test_associations_and_errors_stand_in_tables_with_their_numbers(written: Path):
    (section,) = content_of(open_sweep(str(written))).sections
    assert [row.name for row in section.associations] == [
        "frozen share of the parameters",
        "first layer that trains",
        "backward FLOPs saved",
        "cost model's prediction, held-out configurations only",
    ]
    assert [row.trials for row in section.associations] == [13, 13, 13, 12]
    assert section.associations[3].rho == "+1.00"
    assert [row.predictor for row in section.errors] == [
        "cost model (anchors)", "frozen fraction, 1/(1-f)",
    ]  # fmt: skip
    assert (section.errors[0].mean, section.errors[0].trials) == ("2.0%", 12)


def test_what_could_not_be_attributed_is_listed_largest_first(written: Path):
    (section,) = content_of(open_sweep(str(written))).sections
    assert [(op.op, op.rule) for op in section.lost] == [
        (EVIL_OP, "unmatched"), ("small", "nameless"),
    ]  # fmt: skip
    assert section.lost[0].time == "300"
    assert "of the op time of all profiles has no pass, in 2 different ops." in section.lost_words


def test_each_trial_has_a_row_that_links_to_its_profile(html: str, module_rows):
    tags = Page(html).tags
    rows = [attributes for tag, attributes in tags if "data-trial" in attributes]
    assert [row["data-trial"] for row in rows if row["class"] == "failed"] == [
        row["trial_id"] for row in module_rows if row["status"] == "failed"
    ]
    assert {row["data-trial"] for row in rows} == {row["trial_id"] for row in module_rows}
    links = [attributes["href"] for _, attributes in tags if attributes.get("target") == "_blank"]
    assert len(links) == 16
    assert all(
        re.match(r"http://127.0.0.1:6006/\?run=[^&]+%20%C2%B7%20net-", link) for link in links
    )
    assert "frostline tensorboard" in Page(html).text


def test_a_figure_holds_a_point_for_each_measured_trial(html: str, module_rows):
    data = Page(html).data
    points = data["data"]["net"]["trials"]
    measured = [row for row in module_rows if row["status"] == "ok"]
    assert {point["id"] for point in points} == {row["trial_id"] for row in measured}
    by_id = {row["trial_id"]: row for row in measured}
    for point in points:
        row = by_id[point["id"]]
        assert point["speedup"] == pytest.approx(row["speedup"], abs=1e-4)
        assert point["fraction"] == pytest.approx(100 * row["frozen_fraction"], abs=1e-3)
    spec = data["figures"]["net-speedup-by-frozen-share"]["spec"]
    assert "most predicted: " not in json.dumps(
        spec
    )  # this sweep has no anchors that were profiled
    (band,) = [layer for layer in spec["layer"] if layer["mark"]["type"] == "rect"]
    controls = [row for row in measured if row["is_control"]]
    floor = max((row["speedup_high"] - row["speedup_low"]) / 2 for row in controls)
    assert band["data"]["values"] == [{"low": 1 - floor, "high": 1 + floor}]


def test_bars_are_as_long_as_the_step_and_split_by_the_profile(html: str, module_rows):
    times = Page(html).data["data"]["net"]["times"]
    row = next(row for row in module_rows if row["policy"] == "prefix:3")
    bars = {each["pass"]: each for each in times if each["policy"] == "prefix:3"}
    assert sum(bar["percent"] for bar in bars.values()) == pytest.approx(100 / row["speedup"])
    assert bars["forward"]["ms"] == pytest.approx(14.0)


def test_layers_stand_in_order_with_what_belongs_to_none_last(html: str):
    cells = Page(html).data["data"]["net"]["layers"]
    layers = list(dict.fromkeys(cell["layer"] for cell in cells))
    assert layers[0] == "1  net/conv0"
    assert layers[3] == f"4  {EVIL_LAYER}"
    assert layers[-1] == "outside any layer"
    everything = sum(cell["percent"] for cell in cells if cell["column"] != "params")
    assert everything == pytest.approx(100 * 41.0 / 41.5, abs=0.1)  # all but input and other
    params = sum(cell["percent"] for cell in cells if cell["column"] == "params")
    assert params == pytest.approx(100, abs=0.01)


def test_nothing_measured_of_memory_and_energy_is_a_word(html: str, make_sweep, make_row):
    assert "on CPUs it takes a profile of the trial" in Page(html).text
    assert "counts no energy" in Page(html).text
    known = {"peak_memory_bytes": 2_000_000_000, "energy_joules_per_step": 1.5}
    rows = [make_row("prefix:2", [0, 1], 1.5, **known)]
    content = content_with(make_sweep, rows)
    assert {"memory", "energy"} <= {figure.kind for figure in content.sections[0].figures}
    assert "Memory (MB)" in [column.name for column in content.columns]


def test_several_processes_draw_what_one_draws(make_sweep: MakeSweep, make_row, tmp_path: Path):
    (section,) = content_with(make_sweep, [make_row("prefix:2", [0, 1], 1.5)]).sections
    drawn = {}
    for cores in (1, 2):
        folder = tmp_path / str(cores)
        folder.mkdir()
        render_figures([section], folder, cores=cores, per_process=1)
        assert {path.name for path in folder.iterdir()} == {
            f"net-{figure.kind}.{ending}" for figure in section.figures for ending in ("svg", "png")
        }
        drawn[cores] = {path.name: path.read_bytes() for path in folder.glob("*.png")}
    assert len(drawn[1]) > 1
    assert drawn[1] == drawn[2]


def test_a_process_that_cannot_draw_is_reported(make_sweep: MakeSweep, make_row, tmp_path: Path):
    (section,) = content_with(make_sweep, [make_row("prefix:2", [0, 1], 1.5)]).sections
    first, second, *_ = section.figures
    broken = replace(section, figures=(replace(first, spec={"mark": 1}), second))
    with pytest.raises(FrostlineError, match=r"figures could not be drawn: .*ended with 1: "):
        render_figures([broken], tmp_path, cores=2, per_process=1)


# ---- What must not be there


def test_foreign_names_stay_text(written: Path, html: str):
    parsed = Page(html)
    assert len(parsed.scripts) == 3, "data, runtime, behaviour"
    assert "img" not in {tag for tag, _ in parsed.tags}
    assert "regex:<script>alert(1)</script>" in parsed.text
    assert EVIL_OP in parsed.text
    assert parsed.data["data"]["net"]["layers"], "the data parse: nothing ended the script early"
    for svg in (written / "report").glob("figures/*.svg"):
        text = svg.read_text()
        assert "<script" not in text
        assert "<img" not in text
    heat = (written / "report" / "figures" / "net-cost-by-layer.svg").read_text()
    assert "&lt;script&gt;alert(1)" in heat


def test_nothing_is_fetched_from_elsewhere(written: Path, html: str):
    parsed = Page(html)
    links = [
        value
        for _, attributes in parsed.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "action", "data") and value
    ]
    assert links
    for link in links:
        own = link.startswith(("#", "http://127.0.0.1:"))
        assert own or (written / "report" / link).is_file(), link
    policy = next(attributes["content"] for _, attributes in parsed.tags if "content" in attributes
                  and attributes.get("http-equiv"))  # fmt: skip
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "connect-src" not in policy
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_the_runtime_is_there_once(html: str):
    runtimes = [text for text in Page(html).scripts if len(text) > 100_000]
    assert len(runtimes) == 1
    assert len(html) < 3_000_000


# ---- Figures as files


def test_every_figure_is_a_readable_svg_and_png(written: Path):
    figures = written / "report" / "figures"
    kinds = (
        "cost-by-layer", "error-by-predictor", "predicted-against-measured",
        "speedup-by-first-trainable-layer", "speedup-by-frozen-share", "speedup-by-place",
        "time-by-pass",
    )  # fmt: skip
    assert sorted(path.name for path in figures.iterdir()) == [
        f"net-{kind}.{ending}" for kind in kinds for ending in ("png", "svg")
    ]
    for path in figures.iterdir():
        content = path.read_bytes()
        if path.suffix == ".png":
            assert content.startswith(b"\x89PNG")
            assert int.from_bytes(content[16:20], "big") >= 1000, "width in pixels"
        else:
            assert content.startswith(b"<svg")
    by_share = (figures / "net-speedup-by-frozen-share.svg").read_text()
    assert "Frozen share of the parameters (%)" in by_share
    assert by_share.count('aria-roledescription="point"') == 16, "one a measured trial"
    assert "% of the baseline's step" in (figures / "net-time-by-pass.svg").read_text()


def test_a_second_report_replaces_the_first(make_sweep: MakeSweep, make_row, sweep_rows):
    """GIVEN a report, and files of the user's beside it WHEN no figure is drawn any more."""
    row = make_row("prefix:1", [0], 1.5)
    out = make_sweep([row])
    assert Path(report(open_sweep(str(out)))) == out / "report" / "index.html"
    figures = out / "report" / "figures"
    stale = figures / "net-time-by-pass.svg"
    assert stale.exists()
    mine = [out / "report" / "notes.md", figures / "mine.svg", figures / "deep" / "mine.png"]
    mine[-1].parent.mkdir()
    for file in mine:
        file.write_text("mine")
    failed = next(each for each in sweep_rows if each["status"] == "failed")
    failed |= {"trial_id": row["trial_id"], "study": "demo"}
    OutDir.open(str(out), create=False).publish(
        TrialTables(trial_id=row["trial_id"], trials=[failed])
    )
    report(open_sweep(str(out)))
    assert not stale.exists()
    assert {file for file in figures.rglob("*") if file.is_file()} == set(mine[1:])
    assert [file.read_text() for file in mine] == ["mine"] * 3


def test_a_list_of_figures_names_nothing_else(make_sweep: MakeSweep, make_row):
    out = make_sweep([make_row("prefix:1", [0], 1.5)])
    (out / "report").mkdir()
    victim = out / "report" / "notes.md"
    victim.write_text("mine")
    names = ("notes.md", "../manifest.json", f"{out}/study.toml", "figures/../notes.md", "..", "")
    (out / "report" / "files.txt").write_text("\n".join(names))
    report(open_sweep(str(out)))
    assert victim.read_text() == "mine"
    assert (out / "manifest.json").exists()
    assert (out / "study.toml").exists()


# ---- Sweeps of every kind


def test_an_empty_sweep_is_refused(make_sweep: MakeSweep, capsys):
    out = make_sweep([])
    with pytest.raises(SweepError, match="no trial is committed yet"):
        report(open_sweep(str(out)))
    assert main(["report", str(out)]) == 2
    assert "run the sweep first" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["nowhere", "no sweep", "newer", "file"])
def test_what_is_no_sweep_of_this_version_is_exit_code_2(what: str, tmp_path: Path, capsys):
    out = tmp_path / "out"
    if what == "no sweep":
        out.mkdir()
    elif what == "file":
        out.write_text("")
    elif what == "newer":
        shutil.copytree(DATA, out)
        manifest = json.loads((out / "manifest.json").read_text())
        (out / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 99}))
    assert main(["report", str(out)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    expected = {
        "nowhere": "does not exist", "no sweep": "is no sweep", "newer": "upgrade frostline",
        "file": "is a file",
    }  # fmt: skip
    assert expected[what] in said.err
    assert "Traceback" not in said.err


def test_a_sweep_in_a_store_has_the_same_report(written: Path, html: str):
    files = RemoteFiles(LocalFileSystem(), str(written), Address.parse("s3://bucket/demo"))
    out = OutDir(Address.parse("s3://bucket/demo"), files)
    manifest = out.manifest()
    assert manifest is not None
    content = content_of(Sweep(out, manifest))
    local, stored = Page(html).data, Page(page(content)).data
    assert stored["data"] == local["data"]
    assert content.tensorboard == (
        "frostline tensorboard FOLDER --port 6006", "on a local copy of the sweep",
    )  # fmt: skip


def test_the_generated_sweep_for_timing_has_a_report(tmp_path: Path):
    script = Path(__file__).parents[1] / "bench" / "big_sweep.py"
    runpy.run_path(str(script))["write"](tmp_path / "out", trials=130, ops=25)
    (section,) = content_of(open_sweep(str(tmp_path / "out"))).sections
    assert section.left_out == ()
    assert [row.trials for row in section.associations] == [126, 126, 126, 126]
    assert section.lost_words.endswith("in 5 different ops.")
    assert {row.places for row in section.places} >= {"prefix / suffix", "prefix / scattered"}


def test_a_damaged_table_is_named(tmp_path: Path, capsys):
    out = shutil.copytree(DATA, tmp_path / "out")
    for path in (out / "tables" / "layers").iterdir():
        path.write_bytes(b"PAR1 and no more")
    assert main(["report", str(out)]) == 2
    assert "tables/layers is damaged" in capsys.readouterr().err


def test_a_sweep_of_failures_only_says_so(make_sweep: MakeSweep, sweep_rows, capsys):
    out = make_sweep([row for row in sweep_rows if row["status"] == "failed"])
    assert main(["report", str(out)]) == 0
    text = Page((out / "report" / "index.html").read_text()).text
    assert "no configuration was measured. 1 trial failed" in text
    assert "No trial was measured." in text
    assert list((out / "report").glob("figures/*")) == []


def test_one_trial_is_enough_for_a_page(make_sweep: MakeSweep, make_row):
    content = content_with(make_sweep, [make_row("prefix:2", [0, 1], 1.5)])
    (section,) = content.sections
    assert "too few different configurations" in section.answer
    assert section.associations == ()
    assert section.places == ()
    assert "speedup-by-frozen-share" in [figure.kind for figure in section.figures]
    assert "noise floor is not known" in section.answer
    page(content)


@pytest.mark.parametrize("table", ["layers", "op_costs", "predictions", "graph_ops", "steps"])
def test_a_missing_table_is_a_word(table: str, tmp_path: Path):
    out = shutil.copytree(DATA, tmp_path / "out")
    shutil.rmtree(out / "tables" / table)
    content = content_of(open_sweep(str(out)))
    (section,) = content.sections
    said = " ".join([*section.words.values(), *(fact.value for fact in section.facts)])
    if table == "layers":
        assert "No control left a profile by layer" in said
    if table == "predictions":
        assert "No prediction by the cost model" in said
    assert Page(page(content)).data["data"]["chain"]["trials"]


def test_trials_without_a_profile_leave_out_the_bars_alone(make_sweep: MakeSweep, make_row):
    nothing = dict.fromkeys((
        "forward_ns", "activation_gradient_ns", "weight_gradient_ns", "optimizer_ns", "input_ns",
        "other_ns", "attributed_fraction", "profiler_overhead",
    ))  # fmt: skip
    said = {"error_stage": "profile", "error_type": "NoKernels", "error_message": "CUPTI denied"}
    rows = [
        make_row("none", [], 1.0, is_control=True) | nothing | said,
        make_row("prefix:2", [0, 1], 1.5) | nothing | said,
    ]
    content = content_with(make_sweep, rows)
    (section,) = content.sections
    assert [figure.kind for figure in section.figures] == [
        "speedup-by-frozen-share", "speedup-by-first-trainable-layer", "error-by-predictor",
    ]  # fmt: skip
    assert "No prediction by the cost model" in section.words["Predicted against measured"]
    assert {row.predictor for row in section.errors} <= {
        "frozen fraction, 1/(1-f)", "parameters 2:1",
    }  # fmt: skip
    assert section.words["Where a step's time goes"] == "No trial left a profile."
    assert "nothing to attribute" in section.lost_words
    assert "CUPTI denied" in Page(page(content)).text


def test_devices_of_different_kinds_never_share_a_curve(tmp_path: Path, module_rows):
    other = [on_another(row, device_kind="Other CPU") for row in module_rows]
    out = write_sweep(tmp_path / "out", [*map(dict, module_rows), *other])
    content = content_of(open_sweep(str(out)))
    assert [section.title.rpartition(", ")[2] for section in content.sections] == [
        "on Other CPU", "on Test CPU",
    ]  # fmt: skip
    data = Page(page(content)).data["data"]
    points = [{point["id"] for point in rows["trials"]} for rows in data.values()]
    assert len(points) == 2
    assert not points[0] & points[1]
    errors = [{row.predictor for row in section.errors} for section in content.sections]
    assert errors[0] == errors[1] != set()


def test_settings_of_one_model_are_sections_of_their_own(make_sweep: MakeSweep, make_row):
    rows = [
        make_row("prefix:2", [0, 1], 1.5, batch_size=size, replicate=number)
        for number, size in enumerate((8, 32))
    ]
    content = content_with(make_sweep, rows)
    assert [section.anchor for section in content.sections] == [
        "net-batch-size-8-adam-float32-jit-compile-auto",
        "net-batch-size-32-adam-float32-jit-compile-auto",
    ]
    assert content.answer.startswith("2 models and settings: 2 of 2 configurations")
    (contrast,) = content.contrasts
    assert (contrast.title, contrast.ratio) == ("batch size 32 against 8", "–"), "no control"
    assert contrast.shared == "net, adam, float32, jit_compile auto"


def test_the_page_compares_settings_with_their_throughput(make_sweep: MakeSweep, make_row):
    rows = [
        make_row(policy, layers, speedup, batch_size=size, replicate=number, is_control=not layers,
                 examples_per_second=rate * speedup)
        for number, (size, rate) in enumerate(((8, 50.0), (32, 125.0)))
        for policy, layers, speedup in (("none", [], 1.0), ("prefix:2", [0, 1], 1.5 + number))
    ]  # fmt: skip
    content = content_with(make_sweep, rows)
    (contrast,) = content.contrasts
    assert (contrast.throughput, contrast.ratio) == ("125 / 50", "2.50x")
    assert (contrast.policy, contrast.speedups) == ("prefix:2", "2.50x / 1.50x")
    assert "<td>batch size 32 against 8</td>" in page(content)


def test_models_whose_names_look_alike_in_an_address_are_kept_apart(
    make_sweep: MakeSweep, make_row
):
    rows = [
        make_row("prefix:2", [0, 1], 1.5, model=model, replicate=number)
        for number, model in enumerate(("a.b", "a b", "ü"))
    ]
    content = content_with(make_sweep, rows)
    assert [section.anchor for section in content.sections] == ["a-b", "a-b-2", "group"]


# ---- A page of bounded size


def test_a_large_sweep_is_thinned_evenly_and_says_so(make_sweep: MakeSweep, make_row, monkeypatch):
    monkeypatch.setattr("frostline.reporting.page_limits.TRIALS", 30)
    rows = [make_row("none", [], 1.0, is_control=True, replicate=n) for n in range(3)]
    rows += [
        make_row(f"random:90@0.5#{n}", [n % 8], 1.2, frozen_fraction=n / 100) for n in range(90)
    ]
    rows += [make_row(f"prefix:{n}", range(n), 1 + n / 4) for n in range(1, 8)]
    sweep = open_sweep(str(make_sweep(rows)))
    content = content_of(sweep)
    (section,) = content.sections
    shown = [row.family for row in content.rows]
    assert shown.count("control") == 3
    assert shown.count("prefix") == 7, "few of a kind are not lost among many"
    assert 15 <= shown.count("random") <= 30
    assert f"This page shows {len(shown)} of 100 trials" in section.left_out[0]
    assert f"of {90 + 7} configurations" in section.answer, "the answer counts all"
    (group,) = summarise(sweep.trial_rows()).groups
    assert group.best is not None
    assert group.best.trial_id in {item.row.trial_id for item in shown_trials(group, 5)}


def test_spread_keeps_ends_order_and_kinds():
    assert spread(range(100), 5) == [0, 25, 50, 74, 99]
    assert spread("ab", 5) == ["a", "b"]
    assert spread("abc", 1) == ["a"]
    found = spread_by([(n % 10 == 0, n) for n in range(100)], 30, lambda item: item[0])
    assert found == sorted(found, key=lambda item: item[1])
    assert sum(rare for rare, _ in found) == 10
    assert len(found) == 30


# ---- Names, families and numbers


def test_families_differ_in_colour_or_shape_and_follow_the_policy():
    assert len({(family.colour, family.shape) for family in FAMILIES}) == len(FAMILIES)
    assert family_of("random:4@0.5#2", is_control=False).name == "random"
    assert family_of("none", is_control=True).name == "control"
    assert family_of("prefix:2+norms", is_control=False).name == "other"
    assert family_of("a policy of the future!", is_control=False).name == "other"


def test_a_link_needs_a_kept_profile(make_row):
    def row(path: str | None) -> TrialRow:
        values = dict.fromkeys(TrialRow.__dataclass_fields__)
        return TrialRow.from_mapping(values | make_row("prefix:1", [0], 1.5) | {"trace_path": path})

    assert profile_link(row(None)) is None
    assert profile_link(row("elsewhere/x.xplane.pb")) is None
    kept = row("tensorboard/a b/plugins/profile/c#d/host.xplane.pb")
    run = f"prefix-1%20%C2%B7%20{kept.trial_id}/c%23d"  # by policy first, as TensorBoard lists it
    assert profile_link(kept) == f"http://127.0.0.1:6006/?run={run}&tag=overview_page#profile"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (milliseconds(1_234_567), "1.23"),
        (milliseconds(45_678_900), "45.7"),
        (milliseconds(456_789_000), "457"),
        (milliseconds(None), "–"),
        (megabytes(1_234_567_890), "1235"),
        (megabytes(None), "–"),
        (share(0.125), "12%"),
        (share(None), "–"),
        (floor(0.035), "±3.5%"),
        (floor(None), "not known"),
        (duration_s(4.21), "4.2 s"),
        (duration_s(200), "3 min 20 s"),
        (duration_s(7500), "2 h 5 min"),
        (size(999), "999 B"),
        (size(1_400_000_000), "1.4 GB"),
    ],
)
def test_numbers_in_words(said: str, expected: str):
    assert said == expected


# ---- What hangs


def test_a_report_that_hangs_is_given_up(make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("frostline.reporting.make.DEADLINE_S", 0.01)
    with pytest.raises(FrostlineError, match="its process did not answer within"):
        make_report_apart(Address.parse(make_sweep()))


def test_a_process_that_draws_and_hangs_is_given_up(
    make_sweep: MakeSweep, make_row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("frostline.reporting.render.DEADLINE_S", 0.01)
    (section,) = content_with(make_sweep, [make_row("prefix:2", [0, 1], 1.5)]).sections
    with pytest.raises(FrostlineError, match="a process that draws them hangs, or is stopped"):
        render_figures([section], tmp_path, cores=2, per_process=1)


def test_a_report_that_cannot_be_drawn_says_why(tmp_path: Path, make_sweep: MakeSweep):
    out = make_sweep()
    (out / "manifest.json").write_text("{")
    with pytest.raises(FrostlineError, match=r"the report could not be drawn: .*manifest"):
        make_report_apart(Address.parse(out))


def test_a_full_disk_is_an_error_and_no_traceback(
    make_sweep: MakeSweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/figures")

    monkeypatch.setattr("frostline.reporting.write.render_figures", full)
    assert main(["report", str(make_sweep())]) == 1
    assert "a disk is full" in capsys.readouterr().err


def test_a_step_takes_as_long_in_a_tooltip_as_in_the_table(tmp_path: Path):
    def slow(trial, rows):
        """One trial was measured in a slow minute, its baseline as well."""
        row = rows.trials[0]
        factor = 2 if trial.policy == "prefix:2" else 1
        times = {name: factor * row[name] for name in ("step_ns", "baseline_step_ns")}
        return changed(profiled(rows), **times)

    out = world(tmp_path / "out", "prefix:*", "suffix:*", tamper=slow)
    content = content_of(open_sweep(str(out)))
    figure = next(
        each for each in content.sections[0].figures if each.kind == "speedup-by-frozen-share"
    )
    column = next(n for n, each in enumerate(content.columns) if each.name == "Step (ms)")
    table = {row.trial_id: row.cells[column].order for row in content.rows}
    said = {row["id"]: row["ms"] for row in figure.data["trials"]}
    assert said == {trial: pytest.approx(table[trial] / 1e6, abs=1e-4) for trial in said}
    assert said


def test_the_first_screen_says_what_to_freeze_and_how_sure(tmp_path: Path):
    out = world(
        tmp_path / "out", "prefix:*", "suffix:*", tamper=lambda _trial, rows: profiled(rows)
    )
    content = content_of(open_sweep(str(out)))
    (section,) = content.sections
    first = section.first
    assert [tile.name for tile in first.tiles] == [
        "Baseline step", "Best measured", "Frozen share explains", "Prediction error",
        "Noise floor",
    ]  # fmt: skip
    assert re.search("half the step time|No freeze halves", first.sentences[0])
    assert first.sentences[1].startswith("How sure: ")
    assert [pick.is_half for pick in first.picks].count(True) == 1
    assert all("trainable = False" in pick.code or pick.frozen == "nothing" for pick in first.picks)
    assert section.figures[0].kind == "step-against-what-trains"
    html = page(content)
    place = html.index("What to freeze, by budget")
    assert html.index('class="tiles"') < place < html.index('class="filters"')
    assert "prefers-color-scheme: dark" in html
    assert 'class="copy"' in html
    assert "most predicted: " in json.dumps(section.figures[1].spec)


def test_figures_say_what_they_show_and_the_page_has_the_study(make_sweep: MakeSweep):
    content = content_of(open_sweep(str(make_sweep())))
    for figure in content.sections[0].figures:
        assert "net, batch size 16" in figure.spec["title"]["text"]
        assert "Test CPU" in figure.spec["title"]["text"]
    assert content.study_file == 'name = "demo"\n'
    assert "--port 6006" in content.tensorboard[0]


def test_every_family_has_a_colour_of_its_own():
    colours = [family.colour for family in FAMILIES]
    assert len(set(colours)) == len(colours)


def test_layers_without_weights_stand_by_name_and_every_layer_in_milliseconds(tmp_path: Path):
    built = Built(folder=tmp_path / "out", chain=Chain())
    ops = [*built.chain.ops(), built.chain.op("net/add_1", "forward", "AddV2", MS)]
    built.controls(ops=ops).trial("prefix:2", [0, 1])
    cells = content_of(built.sweep()).sections[0].figures
    (costs,) = [figure for figure in cells if figure.kind == "cost-by-layer"]
    rows = [row for row in costs.data["layers"] if row["layer"] == "net/add_1"]
    assert {row["column"]: row["ms"] for row in rows}["ms"] == pytest.approx(1.0, rel=1e-3)
    assert not any(row["percent"] for row in costs.data["layers"] if row["column"] == "ms")
