"""The report in a real browser, in one session: what it shows, what it asks for, how it reacts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from browsers import chromium
from conftest import demo_rows
from report_kit import EVIL_LAYER, hostile, on_another, write_sweep

from frostline.reporting.make import report
from frostline.store.sweep import open_sweep

pytestmark = pytest.mark.browser

MAIN = "net-speedup-by-frozen-share"
WIDTHS = (1280, 400)


@dataclass
class Shown:
    """A page of the report at one width, and what it complained of and asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def points(self, figure: str = MAIN) -> int:
        marks = f'[data-figure="{figure}"] .mark-symbol.role-mark path'
        return self.page.locator(marks).count()

    def rows(self) -> list[str]:
        return self.page.locator("#trials tbody tr:visible").evaluate_all(
            "rows => rows.map(row => row.dataset.trial)"
        )


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """Two models; the second has half of the trials."""
    first = [hostile(row) for row in demo_rows()]
    return [*first, *(on_another(row, model="second") for row in first[::2])]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, rows) -> str:
    out = write_sweep(tmp_path_factory.mktemp("out"), rows)
    return Path(report(open_sweep(str(out)))).as_uri()


@pytest.fixture(scope="module")
def pages(address: str) -> Iterator[dict[int, Shown]]:
    """The page at each width, with every figure drawn."""
    with chromium() as browser:
        found = {}
        for width in WIDTHS:
            scheme = "light" if width == 1280 else "dark"
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            shown = found[width] = Shown(page)
            page.on("console", lambda said, to=shown: to.complaints.append(said.text))
            page.on("pageerror", lambda error, to=shown: to.complaints.append(str(error)))
            page.on("dialog", lambda box, to=shown: to.complaints.append(f"alert {box.message}"))
            page.on("request", lambda request, to=shown: to.requests.append(request.url))
            page.goto(address)
            page.evaluate("frostline.drawAll()")
        yield found


@pytest.fixture
def wide(pages: dict[int, Shown]) -> Iterator[Shown]:
    """The wide page; filters and order are put back afterwards."""
    yield pages[1280]
    pages[1280].page.click("#everything")
    pages[1280].page.mouse.move(0, 0)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_is_drawn_within_the_width_of_the_page(pages, width: int):
    shown = pages[width]
    places = shown.page.locator("[data-figure]")
    assert places.count() == 7 + 6, "too few places are alike in the second model"
    for number in range(places.count()):
        box = places.nth(number).locator("svg.marks").bounding_box()
        assert box is not None
        assert 150 < box["width"] <= width
        assert box["height"] > 60
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    overflow = shown.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0


@pytest.mark.parametrize("width", WIDTHS)
def test_the_main_figure_has_a_point_for_each_measured_trial(pages, width: int, rows):
    measured = [row for row in rows if row["status"] == "ok" and row["model"] == "net"]
    assert pages[width].points() == len(measured)
    assert pages[width].points("net-speedup-by-first-trainable-layer") == len(measured)


def test_hovering_shows_the_trial(wide: Shown):
    wide.page.locator(f'[data-figure="{MAIN}"] .mark-symbol.role-mark path').nth(6).hover()
    tooltip = wide.page.locator("#vg-tooltip-element")
    tooltip.wait_for(state="visible")
    said = tooltip.inner_text()
    assert "Policy" in said
    assert "95% interval" in said
    assert "Trial" in said


def test_a_hostile_name_is_text_in_the_tooltip_too(wide: Shown):
    cells = wide.page.locator('[data-figure="net-cost-by-layer"] .mark-rect.role-mark path')
    tooltip = wide.page.locator("#vg-tooltip-element")
    for number in range(cells.count()):
        cells.nth(number).hover(force=True)
        tooltip.wait_for(state="visible")
        if EVIL_LAYER in tooltip.inner_text():
            break
    else:
        pytest.fail("no cell shows the hostile layer")
    assert tooltip.locator("script").count() == 0


def test_clicking_a_point_marks_its_row(wide: Shown):
    wide.page.locator(f'[data-figure="{MAIN}"] .mark-symbol.role-mark path').nth(5).click()
    marked = wide.page.locator("tr.marked")
    assert marked.count() == 1
    assert marked.first.is_visible()
    wide.page.wait_for_function(
        """() => {
            const box = document.querySelector("tr.marked").getBoundingClientRect();
            return box.top >= 0 && box.bottom <= window.innerHeight;
        }"""
    )


def test_the_page_and_its_figures_are_dark_where_the_browser_is(pages: dict[int, Shown]):
    ground = "getComputedStyle(document.body).backgroundColor"
    for width, shown in pages.items():
        light = width == 1280
        assert (shown.page.evaluate(ground) == "rgb(255, 255, 255)") == light
        drawn = shown.page.locator(f'[data-figure="{MAIN}"] svg.marks').inner_html()
        assert ("#333333" in drawn) == light


def test_dragging_moves_the_axes_and_a_double_click_puts_them_back(wide: Shown):
    def domain() -> list[float]:
        return wide.page.evaluate(f"[...frostline.views['{MAIN}'].scale('y').domain()]")

    before = domain()
    plot = wide.page.locator(f'[data-figure="{MAIN}"]')
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    wide.page.mouse.move(x, y)
    wide.page.mouse.down()
    wide.page.mouse.move(x, y + 60, steps=4)
    wide.page.mouse.up()
    wide.page.wait_for_timeout(100)
    assert domain() != before
    wide.page.mouse.dblclick(x, y)
    wide.page.wait_for_function(
        f"before => frostline.views['{MAIN}'].scale('y').domain()[0] === before", arg=before[0]
    )


def test_the_wheel_zooms_with_ctrl_and_scrolls_without(wide: Shown):
    plot = wide.page.locator(f'[data-figure="{MAIN}"]')
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    wide.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    extent = f"(([a, b]) => b - a)(frostline.views['{MAIN}'].scale('y').domain())"
    before = wide.page.evaluate(extent)
    wide.page.mouse.wheel(0, 40)
    wide.page.wait_for_timeout(200)
    assert wide.page.evaluate(extent) == before
    box = plot.bounding_box()
    assert box is not None
    wide.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    wide.page.keyboard.down("Control")
    wide.page.mouse.wheel(0, -120)
    wide.page.keyboard.up("Control")
    wide.page.wait_for_function(f"before => {extent} < before", arg=before)
    wide.page.mouse.dblclick(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    wide.page.wait_for_function(f"before => {extent} === before", arg=before)


def test_filtering_by_family_leaves_out_its_points_bars_and_rows(wide: Shown, rows):
    before = wide.points()
    wide.page.uncheck('input[data-filter="family"][value="prefix"]')
    prefixes = [row["trial_id"] for row in rows if row["policy"].startswith("prefix")]
    of_net = [trial for trial in prefixes if not trial.startswith("other")]
    wide.page.wait_for_function(
        f"count => frostline.views['{MAIN}'].data('trials').length === count",
        arg=before - len(of_net),
    )
    assert wide.points() == before - len(of_net)
    assert not set(prefixes) & set(wide.rows())
    assert f"{len(wide.rows())} trials shown" in wide.page.inner_text("#shown")
    bars = wide.page.evaluate("frostline.views['net-time-by-pass'].data('times')")
    assert not any(bar["policy"].startswith("prefix") for bar in bars)
    wide.page.click("#everything")
    wide.page.wait_for_function(
        f"count => frostline.views['{MAIN}'].data('trials').length === count", arg=before
    )
    assert wide.points() == before


def test_filtering_by_model_leaves_out_its_section_and_rows(wide: Shown, rows):
    wide.page.uncheck('input[data-filter="model"][value="net"]')
    assert wide.page.locator("#net").is_hidden()
    assert wide.page.locator("#second").is_visible()
    assert sorted(wide.rows()) == sorted(r["trial_id"] for r in rows if r["model"] == "second")


def test_sorting_by_a_heading_and_back(wide: Shown, rows):
    speedups = {row["trial_id"]: row["speedup"] for row in rows}
    heading = wide.page.get_by_role("button", name="Speedup", exact=True)
    heading.click()
    known = [speedups[trial] for trial in wide.rows() if speedups[trial] is not None]
    assert known == sorted(known)
    assert all(speedups[trial] is None for trial in wide.rows()[len(known) :])
    heading.click()
    known = [speedups[trial] for trial in wide.rows()[: len(known)]]
    assert known == sorted(known, reverse=True), "what is not known stays last"
    wide.page.get_by_role("button", name="Policy", exact=True).click()
    policies = wide.page.locator("#trials tbody tr td:nth-child(2) code").all_inner_texts()
    assert policies == sorted(policies, key=str.lower)


def test_no_complaint_and_no_request_but_for_the_page(pages, address: str):
    """Last: it looks back on everything that the tests above did."""
    for shown in pages.values():
        assert shown.complaints == []
        assert shown.requests == [address]
