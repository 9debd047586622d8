"""The page of a comparison: what it holds, and that it is sealed like the report."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest
from compare_kit import rows, written
from report_kit import EVIL_OP

import frostline
from frostline.cli import main
from frostline.errors import UsageError

EVIL = f"regex:{EVIL_OP}"


def named(of: list[dict]) -> list[dict]:
    return [row | {"policy": EVIL} if row["policy"] == "prefix:3" else row for row in of]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    a = written(folder / "a", named(rows(1)))
    b = written(folder / "b", named(rows(2, prefix_4=0.95))[:-1])
    found = frostline.compare(a, b, gate="3%")
    where = frostline.report_comparison(found, folder / "page")
    assert where == f"{folder}/page/index.html"
    return folder / "page"


def data_of(page: Path) -> dict:
    html = (page / "index.html").read_text()
    (text,) = re.findall(r'<script type="application/json" id="report-data">(.*?)</script>', html)
    return json.loads(text)


def test_the_page_holds_both_curves_and_every_ratio(page: Path):
    (data,) = data_of(page)["data"].values()
    sides = [row["sweep"] for row in data["speedups"]]
    assert (sides.count("A"), sides.count("B")) == (9, 8)
    of_a = [row["speedup"] for row in data["speedups"] if row["sweep"] == "A"]
    assert of_a == sorted(of_a)
    verdicts = {row["policy"]: row["verdict"] for row in data["ratios"]}
    assert verdicts["prefix:4"] == "slower"
    assert len(verdicts) == 8
    for row in data["ratios"]:
        assert row["joint_low"] <= row["low"] <= row["ratio"] <= row["high"] <= row["joint_high"]
    html = (page / "index.html").read_text()
    assert "Gate 3.0%: failed. Lower in B: prefix:4" in html
    assert "Only in A: suffix:4." in html


def test_the_figures_stand_beside_the_page(page: Path):
    assert sorted(path.name for path in (page / "figures").iterdir()) == [
        "net-ratios.png", "net-ratios.svg", "net-speedups.png", "net-speedups.svg",
    ]  # fmt: skip


def test_the_page_is_sealed_and_foreign_names_are_text(page: Path):
    html = (page / "index.html").read_text()
    assert "default-src 'none'; script-src 'sha256-" in unescape(html)
    assert EVIL_OP not in html
    assert EVIL_OP not in (page / "figures" / "net-speedups.svg").read_text()
    assert "&lt;img" in html
    shown = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert "http://" not in shown
    assert "https://" not in shown


def test_a_second_page_replaces_the_first_and_other_folders_are_left_alone(tmp_path: Path, capsys):
    a, b = written(tmp_path / "a", rows(1)), written(tmp_path / "b", rows(2))
    place = str(tmp_path / "page")
    for _ in range(2):
        assert main(["compare", a, b, "--page", place, "--json"]) == 0
    said = capsys.readouterr()
    assert f"Page: {place}/index.html" in said.err
    with pytest.raises(UsageError, match="files that are no report's"):
        frostline.report_comparison(frostline.compare(a, b), a)
