"""The README's model of one's own is planned as it stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from frostline.cli import main

README = Path(__file__).parent.parent / "README.md"
FILE = re.compile(r"`(?P<name>\w+\.(?:py|toml))`:\n\n```\w+\n(?P<text>.*?)^```$", re.M | re.DOTALL)


def test_the_model_of_ones_own_is_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {found["name"]: found["text"] for found in FILE.finditer(README.read_text())}
    assert set(files) == {"mymodel.py", "mine.toml"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert len(files["mymodel.py"].splitlines()) <= 20
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "mine.toml", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    policies = {each["policy"] for each in plan["trials"]}
    assert {"all_but_head", "prefix:1", "prefix:2", "layer:2", "layer:3", "biases"} <= policies
