"""Every command has --json, with a version; docs/json.md describes each document."""

from __future__ import annotations

import inspect
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from predict_kit import profiled, world

from frostline.cli import main
from frostline.cli.app import app
from frostline.cli.documents import VERSIONS
from frostline.cli.sweep import _conclude, _drawn
from frostline.store.address import Address
from frostline.store.sweep import open_sweep
from frostline.sweep.result import SweepResult

DOCS = Path(__file__).parent.parent / "docs" / "json.md"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "out"
    return world(folder, "prefix:*", "suffix:*", tamper=lambda _trial, rows: profiled(rows))


def test_every_command_takes_json_and_quiet_and_has_a_version():
    for command in app.registered_commands:
        assert command.callback is not None
        taken = inspect.signature(command.callback).parameters
        assert {"as_json", "quiet"} <= set(taken), command.callback.__name__
        assert command.callback.__name__ in VERSIONS


def test_every_document_is_described():
    text = DOCS.read_text()
    assert [name for name in VERSIONS if f"\n## {name}\n" not in text] == []


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (["explain", "OUT", "prefix:2"], {"policy", "reasons", "parts", "trains_from_number"}),
        (["explain", "OUT", "net/prefix:2"], {"forward_alone"}),
        (["diff", "OUT", "baseline", "net/prefix:2"], {"a", "b", "groups", "clock"}),
        (["predict", "OUT", "--freeze", "prefix:2"], {"predicted_speedup", "frozen_layers"}),
        (["recommend", "OUT", "--budget", "80%"], {"frozen_layers", "code", "frontier"}),
        (["status", "OUT"], {"state", "ok", "groups"}),
        (["report", "OUT"], {"report", "groups"}),
    ],
)
def test_a_document_has_its_version_and_keys(out: Path, command, keys, capsys):
    assert main([str(out) if each == "OUT" else each for each in command] + ["--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    for one in said if isinstance(said, list) else [said]:
        assert one["json_version"] == VERSIONS[command[0]]
        assert keys <= one.keys()


def test_the_report_tells_what_to_freeze_for_half_the_time(out: Path, capsys):
    assert main(["report", str(out), "--json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)["groups"]
    half = group["half_the_time"]
    assert half["predicted_share"] <= 0.5 or not half["is_reached"]
    assert half["numbers"] == sorted(half["numbers"])
    assert half["numbers"][0] == 1  # as policies count
    assert half["most"] >= half["predicted_speedup"] * (1 - 1e-9)
    assert "How sure: " in " ".join(group["first_sentences"])


def test_the_first_lines_say_what_to_freeze_and_how_sure(out: Path, capsys):
    assert main(["report", str(out)]) == 0
    said = capsys.readouterr().out
    first = said[: said.index("policy")]
    assert "half the step time" in first or "No freeze halves" in first
    assert "How sure: " in first
    assert "noise floor" in first
    told = " ".join(first.split())
    assert "What freezing costs in accuracy is not measured." in told
    command = f"frostline recommend {out} --budget 0.5"  # folded, where its folder is long
    assert command.replace(" ", "") in "".join(first.split())


def test_the_page_begins_with_what_was_measured(out: Path):
    assert main(["report", str(out)]) == 0
    page = (out / "report" / "index.html").read_text()
    header = page[page.index("<header>") : page.index("</header>")]
    assert "batch size 8" in header
    assert "What freezing costs in accuracy is not measured." in " ".join(header.split())


def test_a_report_that_cannot_be_drawn_is_one_sentence(out: Path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "frostline.reporting.make", None)  # as without vl_convert
    where = Address.parse(str(out))
    assert _drawn(open_sweep(where), where, idle=False) is None
    said = capsys.readouterr().err
    assert "the report could not be drawn" in said
    assert "every trial is kept" in said
    assert f"frostline report {out}" in " ".join(said.split())
    assert "Traceback" not in said


@pytest.mark.parametrize("as_json", [True, False])
def test_a_sweep_ends_with_its_answer_and_report(out: Path, as_json: bool, monkeypatch, capsys):
    monkeypatch.setattr("frostline.reporting.make.make_report_apart", lambda _where: "the page")
    monkeypatch.setattr("frostline.reporting.up_to_date.mark", lambda _sweep: None)
    done = SweepResult(
        planned=12, finished_before=0, ok=12, failed=0, wall_s=60.0, ray_start_s=1.0, inspect_s=1.0
    )
    _conclude(Address.parse(str(out)), datetime.now(UTC), done, as_json=as_json)
    said = capsys.readouterr().out
    if as_json:
        found = json.loads(said)
        assert (found["planned"], found["report"], found["exit_code"]) == (12, "the page", 0)
        assert found["groups"][0]["trials"]
    else:
        assert said.index("How sure: ") < said.index("control 1") < said.index("Report:  the page")
