"""`frostline layers`: numbers as policies count, what policies freeze; tables never cut a name."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.padding import Padding
from schedule_kit import facts

from frostline.cli import main
from frostline.cli.console import PlainConsole
from frostline.cli.tables import FittedTable
from frostline.words import number_ranges

STUDY = """
name = "two"
[[model]]
name = "net"
builder = "frostline.models:wide_mlp"
[[model]]
name = "other"
builder = "frostline.models:wide_mlp"
[freeze]
policies = ["prefix:2", "biases"]
"""
LAYERS = ["net/stem", "net/body", "net/head"]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    def inspected(models: Any, *_: object, **__: object) -> dict[str, Any]:
        return {each.name: replace(facts(LAYERS), name=each.name) for each in models}

    monkeypatch.setattr("frostline.measure.inspect_client.inspect_models", inspected)
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return str(path)


def test_numbers_count_from_one_and_are_those_of_policies(study, capsys):
    assert main(["layers", study, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["json_version"] == 1
    assert [model["model"] for model in said["models"]] == ["net", "other"]
    one = said["models"][0]
    assert [(layer["number"], layer["name"]) for layer in one["layers"]] == [
        (1, "net/stem"), (2, "net/body"), (3, "net/head"),
    ]  # fmt: skip
    assert sum(layer["share"] for layer in one["layers"]) == pytest.approx(1)
    frozen = {policy["policy"]: policy["layers"] for policy in one["policies"]}
    assert frozen["prefix:2"] == [1, 2]


def test_one_model_alone_and_an_unknown_one(study, capsys):
    assert main(["layers", study, "--model", "other"]) == 0
    said = capsys.readouterr().out
    assert "other: 3 layers" in said
    assert "net: 3 layers" not in said
    assert main(["layers", study, "--model", "nett"]) == 2
    assert "`net`" in capsys.readouterr().err


def test_quiet_leaves_notes_out_and_keeps_errors(study, capsys):
    assert main(["layers", study, "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["layers", study, "--quiet", "--model", "nett"]) == 2
    assert "error:" in capsys.readouterr().err
    assert main(["layers", study]) == 0
    assert "note:" in capsys.readouterr().err


def test_ranges_in_words():
    assert number_ranges([]) == ""
    assert number_ranges([5, 1, 3, 4]) == "1, 3-5"
    assert number_ranges(range(1, 12, 2), most=2) == "1, 3 and 4 more"


def shown(width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    name = "a/rather/long/name"
    console.print(
        FittedTable(("policy", "step", "verdict"), [(name, "12.3", "faster")], goes=(1, 2))
    )
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_names_are_never_cut_and_figures_go_first():
    assert all(word in shown(80) for word in ("a/rather/long/name", "12.3", "faster"))
    assert "a/rather/long/name" in shown(30)
    assert "12.3" not in shown(30)
    assert "faster" in shown(30)
    narrow = "".join(line.strip() for line in shown(10).splitlines()[2:])
    assert narrow == "a/rather/long/name"


def test_a_pipe_is_never_wrapped(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    piped = io.StringIO()
    PlainConsole(file=piped).print("word " * 300)
    assert len(piped.getvalue().splitlines()) == 1
    PlainConsole(file=piped).print(Padding("word", (0, 0, 0, 2)))
    assert piped.getvalue().splitlines()[1] == "  word"


def test_the_shell_completes_commands(capsys, monkeypatch):
    monkeypatch.setenv("_FROSTLINE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "frostline lay")
    monkeypatch.setenv("COMP_CWORD", "1")
    main([])
    assert "layers" in capsys.readouterr().out
