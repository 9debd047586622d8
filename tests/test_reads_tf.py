"""What inspecting a user's model takes: its modules and files, however they are reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from frostline.facts.model_facts import ModelFacts
from frostline.facts.provenance import outdated
from frostline.measure.inspect_client import inspect_models
from frostline.study.study import parse_study

pytestmark = pytest.mark.tf

BUILDER = """
import json
from pathlib import Path

import keras


def net():
    import importlib

    blocks = importlib.import_module("blocks")
    sizes = json.loads(Path(__file__).with_name("sizes.json").read_text())
    Path(__file__).with_name("written.txt").write_text("an output, no input")
    return keras.Sequential([keras.Input((4,)), *blocks.dense(sizes)])
"""
STUDY = """
name = "demo"
[[model]]
name = "net"
builder = "mine:net"
[train]
batch_size = [2]
[freeze]
policies = ["prefix:*"]
"""


def test_all_that_a_builder_reads_is_known_and_compared(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(BUILDER)
    (tmp_path / "blocks.py").write_text(
        "import keras\n\ndef dense(sizes):\n    return [keras.layers.Dense(n) for n in sizes]\n"
    )
    (tmp_path / "sizes.json").write_text("[3, 2]")
    study = parse_study(STUDY, path=tmp_path / "study.toml", check_builders=False)
    (model,), setting = study.model_specs(), study.settings()[0]

    facts = inspect_models((model,), setting, seed=study.seed, deadline_s=120.0)["net"]

    assert isinstance(facts, ModelFacts), facts
    assert len(facts.layers) == 2
    origin = facts.made_from
    assert origin is not None
    assert {"mine.py", "blocks.py", "sizes.json"} <= set(origin.files)
    assert {Path(name).name for name in origin.files} <= {
        "mine.py", "blocks.py", "sizes.json", "keras.json",
    }  # fmt: skip
    assert {"tensorflow", "keras", "python"} <= set(origin.versions)
    assert outdated(origin, model, setting, seed=study.seed) == ""
    (tmp_path / "sizes.json").write_text("[5, 2]")
    assert outdated(origin, model, setting, seed=study.seed) == "sizes.json has changed"
