"""Running a study again: what is known is used, what has changed is noticed, the rest is left."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from gpu_kit import FakeGpu, FakeNvml
from local_executor import LocalExecutor
from schedule_kit import FAKE, Fake, Heard, facts, install_fake

import frostline.facts.provenance
import frostline.installed
import frostline.sweep.run_record
from frostline.errors import StudyError, SweepError
from frostline.facts.model_facts import MadeFrom, ModelFacts, dump_facts, facts_path
from frostline.facts.provenance import made_from, outdated
from frostline.measure.messages import Failed
from frostline.reporting.up_to_date import current_report, mark
from frostline.schedule.lease_spec import Resources
from frostline.store.outdir import OutDir
from frostline.store.sweep import open_sweep
from frostline.study.study import Study, parse_study
from frostline.sweep.result import SweepResult
from frostline.sweep.resume import Committed, forgotten
from frostline.sweep.run import run_sweep

LAYERS = ("net/a", "net/b", "net/c", "net/d")
STUDY = f"""
name = "demo"
[[model]]
name = "net"
builder = "mine:net"
[train]
batch_size = [8]
[freeze]
policies = ["prefix:1", "prefix:2"]
anchors = false
[measure]
profile_steps = 0
[resources]
cpus_per_trial = {len(os.sched_getaffinity(0))}
trial_timeout_s = 20.0
"""  # one slot, one lease


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study's folder with a builder, a module that it imports, and a file that it reads."""
    place = tmp_path / "studies"
    place.mkdir()
    for name in ("mine.py", "blocks.py", "sizes.json"):
        (place / name).write_text(f"# {name}\n")
    return place


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return install_fake(tmp_path / "fake", monkeypatch)


class Run:
    """One run of a study; counts what it inspects."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder.parent / "out"
        self.inspected: list[str] = []
        self.started = 0
        self.heard = Heard()

    def __call__(self, text: str = STUDY, *, broken: bool = False) -> SweepResult:
        self.inspected, self.started, self.heard = [], 0, Heard()
        return run_sweep(
            self.study(text), str(self.out), listener=self.heard, process_module=FAKE,
            make_executor=self._executor, inspect=self._broken if broken else self._inspect,
        )  # fmt: skip

    def study(self, text: str = STUDY) -> Study:
        return parse_study(text, path=self.folder / "study.toml", check_builders=False)

    def manifest(self) -> bytes:
        return (self.out / "manifest.json").read_bytes()

    def _executor(self, resources: Resources) -> AbstractContextManager:
        self.started += 1
        return LocalExecutor(resources)

    def _inspect(self, asked: Study, _logs: Path) -> Mapping[str, ModelFacts | Failed]:
        found: dict[str, ModelFacts | Failed] = {}
        for model in asked.model_specs():
            self.inspected.append(model.name)
            origin = made_from(
                model, asked.settings()[0], seed=asked.seed, files=list(self.folder.iterdir())
            )
            found[model.name] = replace(facts(LAYERS), name=model.name, made_from=origin)
        return found

    def _broken(self, asked: Study, _logs: Path) -> Mapping[str, ModelFacts | Failed]:
        return {
            model.name: Failed(stage="build", kind="ValueError", message="no weights")
            for model in asked.models
        }


@pytest.fixture
def run(folder: Path, fake: Fake) -> Run:
    return Run(folder)


def test_a_finished_sweep_is_left_as_it_is(run: Run, fake: Fake) -> None:
    """WHEN nothing is left THEN no model is built, nothing is started, and OUT does not change."""
    first = run()
    assert (first.idle, first.planned, run.inspected, run.started) == (False, 5, ["net"], 1)
    before = {path: path.stat().st_mtime_ns for path in run.out.rglob("*") if path.is_file()}

    second = run()
    after = {path: path.stat().st_mtime_ns for path in run.out.rglob("*") if path.is_file()}
    assert (second.idle, second.exit_code, second.finished_before) == (True, 0, 5)
    assert (run.inspected, run.started) == ([], 0)
    assert (run.heard.labels, run.heard.finished, run.heard.notices) == ({}, 5, [])
    assert after == before
    assert len(fake.runs()) == 5


def test_what_failed_counts_in_the_exit_code_of_an_idle_run(run: Run, fake: Fake) -> None:
    fake.behave({"prefix:2": ["fail"]})
    run()
    again = run()
    assert (again.idle, again.exit_code, again.failed) == (True, 1, 1)


def test_a_run_that_did_not_come_to_its_end_is_brought_to_it(run: Run) -> None:
    run()
    manifest = json.loads(run.manifest())
    assert manifest["runs"][-1]["finished_at"] is not None
    manifest["runs"][-1]["finished_at"] = None
    (run.out / "manifest.json").write_text(json.dumps(manifest))

    again = run()
    assert (again.idle, run.started) == (False, 0)
    assert run().idle


def test_a_builder_that_has_changed_is_inspected_again(run: Run) -> None:
    run()
    for name in ("mine.py", "blocks.py", "sizes.json"):
        (run.folder / name).write_text("# otherwise\n")
        again = run()
        assert run.inspected == ["net"]
        assert run.heard.notices == [f"model `net` is inspected again: {name} has changed"]
        assert run.started == 0, "the same layers came out, so there was nothing to run"
        assert again.exit_code == 0
        run()
        assert run.inspected == []


def test_damaged_facts_and_those_of_before_this_was_kept_are_no_facts(run: Run) -> None:
    run()
    place = run.out / facts_path("net")
    old = json.loads(dump_facts(facts(LAYERS)))
    del old["made_from"]
    for text, why in (("{", "is damaged"), (json.dumps(old), "nothing says")):
        place.write_text(text)
        run()
        assert run.inspected == ["net"]
        assert why in run.heard.notices[0]


def test_facts_hold_in_another_folder_with_the_same_files(run: Run, tmp_path: Path) -> None:
    run()
    run.folder = run.folder.rename(tmp_path / "elsewhere")
    assert run().idle


@pytest.fixture
def known(folder: Path) -> tuple[MadeFrom, Callable[..., str]]:
    """What facts were made from, and a way to ask whether they hold after some change."""
    asked = parse_study(STUDY, path=folder / "study.toml", check_builders=False)
    (model,), setting = asked.model_specs(), asked.settings()[0]
    origin = made_from(model, setting, seed=0, files=[folder / "mine.py"], libraries=["rich"])

    def now(*, seed: int = 0, batch_size: int = 8, **changes: object) -> str:
        return outdated(
            origin, replace(model, **changes), replace(setting, batch_size=batch_size), seed=seed
        )

    return origin, now


def test_facts_hold_only_for_what_they_were_made_from(
    known: tuple[MadeFrom, Callable[..., str]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, now = known
    assert now() == ""
    assert set(origin.versions) >= {"python", "tensorflow", "keras", "numpy", "rich"}
    for changes in (
        {"seed": 1}, {"batch_size": 4}, {"kwargs_json": '{"units": 2}'}, {"builder": "mine:other"},
        {"data": "mine:data"},
    ):  # fmt: skip
        assert "has changed" in now(**changes)
    with monkeypatch.context() as other:
        other.setattr(frostline.installed.metadata, "version", lambda _name: "0.0")
        assert now().startswith("keras is 0.0, and was 3.")
    with monkeypatch.context() as other:
        other.setattr(frostline.facts.provenance, "program", lambda: "other")
        assert now() == "Frostline itself has changed"
    (folder / "mine.py").unlink()
    assert now() == "mine.py has changed"


def test_a_large_file_is_told_apart_by_size_and_time(folder: Path, run: Run) -> None:
    weights = folder / "weights.bin"
    with weights.open("wb") as file:
        file.truncate(17 << 20)
    (model,), setting = run.study().model_specs(), run.study().settings()[0]
    origin = made_from(model, setting, seed=0, files=[weights])
    assert outdated(origin, model, setting, seed=0) == ""
    with weights.open("ab") as file:
        file.write(b"more")
    assert outdated(origin, model, setting, seed=0) == "weights.bin has changed"


def test_a_file_that_could_not_be_looked_at_never_holds(folder: Path, run: Run) -> None:
    (model,), setting = run.study().model_specs(), run.study().settings()[0]
    origin = made_from(model, setting, seed=0, files=[folder / "a.zip" / "net.py"])
    assert outdated(origin, model, setting, seed=0) == "a.zip/net.py cannot be compared"
    assert outdated(None, model, setting, seed=0)


def test_a_changed_study_adds_what_is_new_and_names_what_is_no_longer_asked_for(
    run: Run, fake: Fake
) -> None:
    run()
    more = STUDY.replace('"prefix:1", "prefix:2"', '"prefix:2", "suffix:1", "suffix:2"')
    result = run(more)

    assert fake.runs()[5:] == ["suffix:1", "suffix:2"]
    assert (result.planned, result.finished_before) == (6, 4)
    assert run.heard.notices == [
        "1 committed trials are no longer asked for and stay in the tables: prefix:1"
    ]
    rows = open_sweep(str(run.out)).trial_rows()
    assert {row.policy for row in rows} == {"none", "prefix:1", "prefix:2", "suffix:1", "suffix:2"}
    digests = [each["study_digest"] for each in json.loads(run.manifest())["runs"]]
    assert len(set(digests)) == len(digests) == 2

    fewer = run(STUDY.replace(', "prefix:2"', ""))  # nothing to run, but it is another study
    assert (fewer.idle, run.started) == (False, 0)
    assert run.heard.notices[0].endswith("tables: prefix:2, suffix:1, suffix:2")


def test_many_trials_that_are_no_longer_asked_for_are_counted(run: Run) -> None:
    run(STUDY.replace('"prefix:1", "prefix:2"', '"prefix:*", "layer:*", "random:6@0.5"'))
    run(STUDY.replace("[measure]", "[measure]\nmin_pairs = 12"))
    (notice,) = run.heard.notices
    assert "none (3x)" in notice
    assert notice.split()[0] == str(len(list((run.out / "tables" / "trials").iterdir())) - 5)
    assert "more policies" in notice


def test_trials_of_a_model_that_cannot_be_built_now_are_still_asked_for(run: Run) -> None:
    run()
    (run.folder / "mine.py").write_text("raise ValueError\n")
    result = run(broken=True)
    assert result.exit_code == 1
    assert not any("no longer asked for" in notice for notice in run.heard.notices)
    (run.folder / "mine.py").write_text("# mine.py\n")
    run()  # the row that stood for the model goes, and is not said to stay
    assert not any("no longer asked for" in notice for notice in run.heard.notices)


def test_a_study_that_cannot_work_is_refused_before_anything_is_written(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = Failed(stage="build", kind="NeedsData", message="input 'x' takes strings: give `data`")
    monkeypatch.setattr(run, "_broken", lambda asked, _: {"net": needs})
    with pytest.raises(StudyError, match="model `net`: input 'x' takes strings: give `data`"):
        run(broken=True)
    assert not (run.out / "tables").exists()
    assert not (run.out / "manifest.json").exists()

    run()  # once there are results, the model's failure is a row beside them
    (run.folder / "mine.py").write_text("raise ValueError\n")
    assert run(broken=True).exit_code == 1
    assert any(notice.startswith("model `net` is left out, input") for notice in run.heard.notices)


def test_another_version_is_recorded_and_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    true = frostline.sweep.run_record.versions()
    for module in (frostline.sweep.run_record, frostline.sweep.run):
        monkeypatch.setattr(module, "versions", lambda: true | {"tensorflow": "9.9.9"})
    run()
    assert run.heard.notices == [], "nothing was measured with it"
    run(STUDY.replace('"prefix:2"', '"prefix:2", "suffix:1"'))

    (notice,) = run.heard.notices
    assert f"tensorflow {true['tensorflow']} (now 9.9.9)" in notice
    assert "choose another --out" in notice
    used = [each["versions"]["tensorflow"] for each in json.loads(run.manifest())["runs"]]
    assert used == [true["tensorflow"], "9.9.9", "9.9.9"]


def test_a_report_is_current_until_something_changes(run: Run) -> None:
    run()
    sweep = open_sweep(str(run.out))
    mark(sweep)
    assert current_report(sweep) is None, "there is no page"
    OutDir.open(str(run.out), create=False).write_text("report/index.html", "<p>")
    assert current_report(sweep) == f"{run.out}/report/index.html"
    run(STUDY.replace('"prefix:2"', '"prefix:2", "suffix:1"'))
    assert current_report(open_sweep(str(run.out))) is None


def test_an_out_of_before_goes_on_under_its_stopping_rule(run: Run) -> None:
    """GIVEN an OUT whose manifest names no rule THEN no id changes, and the user is told."""
    run()
    new = set(open_sweep(str(run.out)).commits)
    manifest = json.loads(run.manifest())
    for key in ("stopping", "gpus_per_trial", "gpus_found"):
        del manifest[key]
    (run.out / "manifest.json").write_text(json.dumps(manifest))

    run()
    (notice,) = [text for text in run.heard.notices if "target_ci" in text]
    assert "a share of the speedup" in notice
    old = set(open_sweep(str(run.out)).commits) - new
    assert len(old) == 5, "under the other rule they are other trials"
    assert json.loads(run.manifest())["stopping"] == "half_width"
    assert run().idle


def test_an_out_does_not_go_on_on_the_other_kind_of_machine(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    recorded = json.loads(run.manifest())
    assert (recorded["gpus_per_trial"], recorded["gpus_found"]) == (0, True)
    FakeNvml([FakeGpu()]).install(monkeypatch)
    assert run().idle, "nothing is left to run, so it does not matter"
    with pytest.raises(SweepError, match="was begun where there is no GPU"):
        run(STUDY.replace('"prefix:2"', '"prefix:2", "suffix:1"'))
    assert run.started == 0
    assert json.loads(run.manifest()) == recorded


def test_rows_of_a_resuming_run_have_the_noise_floor_of_the_committed_controls(run: Run) -> None:
    run()
    run(STUDY.replace('"prefix:2"', '"prefix:2", "suffix:1"'))
    rows = {row.policy: row for row in open_sweep(str(run.out)).trial_rows()}
    assert rows["suffix:1"].noise_floor == rows["prefix:1"].noise_floor == pytest.approx(0.015)


def test_trials_of_a_variant_that_cannot_be_built_are_not_called_forgotten() -> None:
    plain = Committed(trial_id="a", model="net", policy="prefix:1", status="ok", error_type=None)
    varied = replace(plain, trial_id="b", variant="lora4")
    words = "committed trials are no longer asked for and stay in the tables"
    for unbuilt, said in (
        (["net@lora4"], f"1 {words}: prefix:1"),
        (["net"], ""),
        ([], f"2 {words}: net prefix:1, net@lora4 prefix:1"),
    ):
        assert forgotten([], [plain, varied], unbuilt=unbuilt) == said
