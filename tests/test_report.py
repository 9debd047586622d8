"""The report: what a reader finds on the page and in the figures, and what must not be there."""

import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipeline.errors import SweepError
from pipeline.report.make import make_report
from pipeline.report.palette import FAMILIES, family_of
from pipeline.report.words import duration, floor, milliseconds, share, size
from pipeline.sweep_view import open_sweep

MakeSweep = Callable[..., Path]


class Page(HTMLParser):
    """Tags with their attributes, and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def written(make_sweep: MakeSweep) -> Path:
    """OUT/report of the demo sweep."""
    out = make_sweep()
    make_report(open_sweep(str(out)))
    return out / "report"


def test_the_page_says_the_answer_the_noise_and_why_a_trial_failed(written: Path):
    text = Page((written / "index.html").read_text()).text
    assert "Fastest is all_but_head with 2.60x [2.50, 2.72]" in text
    assert "17 trials, 1 failed" in text
    assert "±2.0%, from 3 controls" in text
    assert "no measurable difference" in text
    assert "failed in check: FreezeCheck: <b>net/conv2</b>/moving_mean changed" in text
    assert "Test CPU" in text
    assert "2.21.0" in text


def test_foreign_names_stay_text(written: Path):
    html = (written / "index.html").read_text()
    assert "<script>alert(1)" not in html
    assert "regex:<script>alert(1)</script>" in Page(html).text
    for svg in written.glob("figures/*.svg"):
        assert "<script" not in svg.read_text()


def test_nothing_is_fetched_from_elsewhere(written: Path):
    page = Page((written / "index.html").read_text())
    loaded = [
        (tag, name, value)
        for tag, attributes in page.tags
        for name, value in attributes.items()
        if value
        and (name in ("src", "srcset", "data", "action") or (tag, name) == ("link", "href"))
    ]
    assert all(value.startswith("data:") for _, _, value in loaded), loaded


def test_every_figure_is_a_readable_svg_and_png(written: Path):
    paths = sorted((written / "figures").iterdir())
    names = {path.name for path in paths}
    for kind in ("speedup-by-first-trainable-layer", "speedup-by-frozen-share", "time-by-pass"):
        assert {f"net-{kind}.png", f"net-{kind}.svg"} <= names
    assert {path.stem for path in paths if path.suffix == ".png"} == {
        path.stem for path in paths if path.suffix == ".svg"
    }
    for path in paths:
        content = path.read_bytes()
        if path.suffix == ".png":
            assert content.startswith(b"\x89PNG")
            assert int.from_bytes(content[16:20], "big") >= 1000, "width in pixels"
        else:
            assert content.startswith(b"<svg")


def test_a_second_report_replaces_the_first(make_sweep: MakeSweep):
    out = make_sweep()
    stale = out / "report" / "figures" / "gone-time-by-pass.svg"
    stale.parent.mkdir(parents=True)
    stale.write_text("<svg/>")
    page = make_report(open_sweep(str(out)))
    assert Path(page) == out / "report" / "index.html"
    assert not stale.exists()


def test_an_empty_sweep_is_refused(make_sweep: MakeSweep):
    with pytest.raises(SweepError, match="no trial is committed yet"):
        make_report(open_sweep(str(make_sweep([]))))


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
    out = make_sweep(rows)
    make_report(open_sweep(str(out)))
    assert not list(out.glob("report/figures/*time-by-pass*"))
    assert list(out.glob("report/figures/*speedup-by-frozen-share.svg"))
    assert "CUPTI denied" in (out / "report" / "index.html").read_text()


def test_families_differ_in_colour_or_shape_and_follow_the_policy():
    assert len({(family.colour, family.shape) for family in FAMILIES}) == len(FAMILIES)
    assert family_of("random:4@0.5#2", is_control=False).name == "random"
    assert family_of("none", is_control=True).name == "control"
    assert family_of("list:a,b", is_control=False).name == "list"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (milliseconds(1_234_567), "1.23"),
        (milliseconds(45_678_900), "45.7"),
        (milliseconds(456_789_000), "457"),
        (milliseconds(None), "–"),
        (share(0.125), "12%"),
        (share(None), "–"),
        (floor(0.035), "±3.5%"),
        (floor(None), "not known"),
        (duration(4.21), "4.2 s"),
        (duration(200), "3 min 20 s"),
        (duration(7500), "2 h 5 min"),
        (size(999), "999 B"),
        (size(1_400_000_000), "1.4 GB"),
    ],
)
def test_numbers_in_words(said: str, expected: str):
    assert said == expected


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_the_page_offline_without_complaint(written: Path, width: int):
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the PATH (Debian: apt install chromium)")
    from playwright.sync_api import sync_playwright

    complaints: list[str] = []
    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((written / "index.html").as_uri())
        page.wait_for_timeout(1500)
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        browser.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert overflow <= 0
