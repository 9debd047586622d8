"""An OUT begun when the package was called `pipeline` goes on; no other is touched."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from schedule_kit import facts

from frostline import open_sweep
from frostline.cli import main
from frostline.errors import StudyError
from frostline.facts.model_facts import parse_facts
from frostline.plan.trials import plan_trials
from frostline.study.study import parse_study

GPU = Path(__file__).parents[2] / "shared" / "gpu-h200"
STUDY = """
name = "ready"
[[model]]
name = "net"
builder = "frostline.models:mlp_sequential"
[freeze]
policies = ["prefix:*"]
"""
FORMER = STUDY.replace("frostline.models", "pipeline.models")


def ids(study_text: str, *, former_names: bool = False) -> list[str]:
    study = parse_study(study_text, check_builders=False, former_names=former_names)
    plan = plan_trials(study, {"net": replace(facts(("net/a", "net/b", "net/c")), name="net")})
    return [trial.trial_id for trial in plan.trials]


def test_trials_of_such_an_out_keep_their_ids() -> None:
    then = ids(FORMER)  # what the program of then gave: the name as the study says it
    assert ids(FORMER, former_names=True) == then
    assert ids(STUDY, former_names=True) == then
    assert set(ids(STUDY)) & set(then) == set()


def test_what_is_measured_goes_by_the_name_of_today() -> None:
    for text in (STUDY, FORMER):
        (model,) = parse_study(text, former_names=True).model_specs()
        assert model.builder == "frostline.models:mlp_sequential"


def test_elsewhere_it_is_the_users_own_module(tmp_path: Path) -> None:
    with pytest.raises(
        StudyError, match=r"write `frostline\.models:mlp_sequential`: the package is"
    ):
        parse_study(FORMER)
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "__init__.py").touch()
    (tmp_path / "pipeline" / "models.py").write_text("def mlp_sequential():\n    return None\n")
    (model,) = parse_study(FORMER, path=tmp_path / "study.toml").model_specs()
    assert model.builder == "pipeline.models:mlp_sequential"
    assert model.identity["builder"] == "pipeline.models:mlp_sequential"


@pytest.mark.traces
@pytest.mark.skipif(not GPU.is_dir(), reason="no recorded GPU sweeps beside the checkout")
@pytest.mark.parametrize("name", ["convnet", "xception"])
def test_recorded_sweeps_resume_with_nothing_left_to_run(name: str, tmp_path: Path, capsys) -> None:
    out = tmp_path / name
    shutil.copytree(GPU / name, out, copy_function=shutil.copyfile)
    sweep = open_sweep(str(out))
    assert sweep.manifest.begun_as_pipeline
    models = {path.stem: parse_facts(path.read_text()) for path in (out / "models").iterdir()}
    asked = parse_study((out / "study.toml").read_text(), former_names=True)
    study = replace(asked, stopping=sweep.manifest.stopping)
    assert {trial.trial_id for trial in plan_trials(study, models).trials} == set(sweep.commits)
    assert main(["predict", str(out), "--freeze", "prefix:3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["policy"] == "prefix:3"
