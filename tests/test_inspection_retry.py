"""A process that dies building a model for reasons of its own does not leave the model out."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from schedule_kit import trial

from frostline.measure import inspect_client
from frostline.measure.client import MeasureProcess
from frostline.measure.messages import Failed

# Speaks the protocol: dies as often as its folder has files named `die-...`, then answers.
DYING = """
import os, pathlib, signal, sys
from frostline.child import connect_to_parent
from frostline.facts.model_facts import ModelFacts
from frostline.measure.messages import REQUESTS, Inspected, Progress, line_of

answers = connect_to_parent()
for line in sys.stdin.buffer:
    request = REQUESTS.validate_json(line)
    answers.write(line_of(Progress(stage="build")))
    for each in pathlib.Path(__file__).parent.glob("die-*"):
        each.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    facts = ModelFacts(
        name=request.model.name, layers=(), untrainable_params=0,
        batch_size=1, build_s=0.0, trace_s=0.0,
    )
    answers.write(line_of(Inspected(facts=facts)))
"""


@pytest.mark.parametrize("deaths", [0, 1, 2, 3])
def test_a_process_that_dies_once_is_asked_again(
    deaths: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dying.py").write_text(DYING)
    for number in range(deaths):
        (tmp_path / f"die-{number}").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    dying = functools.partial(MeasureProcess, module="dying")
    monkeypatch.setattr(inspect_client, "MeasureProcess", dying)
    model, setting = trial("none").model, trial("none").setting
    found = inspect_client.inspect_models((model,), setting, seed=0, deadline_s=60.0)[model.name]
    if deaths < 2:
        assert not isinstance(found, Failed)
        assert found.name == model.name
    else:
        assert isinstance(found, Failed)
        assert (found.kind, found.stage) == ("ProcessDied", "build")
        assert "SIGKILL" in found.message
        assert "2 processes died building the model" in found.message
