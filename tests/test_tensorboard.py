"""TensorBoard's event files, and TensorBoard itself on a sweep, in a real browser."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil
import pytest
from browsers import chromium
from local_executor import LocalExecutor
from schedule_kit import FAKE, Fake, facts, install_fake, listening
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.errors import OutOfRangeError
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import SessionEndInfo, SessionStartInfo

from frostline.errors import FrostlineError
from frostline.facts.model_facts import ModelFacts
from frostline.measure.messages import Failed
from frostline.policies.family import family
from frostline.results.commit import log_path
from frostline.store.sweep import open_sweep
from frostline.store.table_files import table_file
from frostline.study.study import Study, parse_study
from frostline.sweep.run import run_sweep
from frostline.tensorboard.events import (
    EXPERIMENT_PATH,
    events_path,
    experiment_events,
    trial_events,
)
from frostline.tensorboard.hparams import HPARAMS, SCALARS
from frostline.tensorboard.runs import run_name
from frostline.tensorboard.server import TensorBoard

if TYPE_CHECKING:
    from playwright.sync_api import Page

PROFILE = Path(__file__).parent / "data" / "profiles" / "graph.xplane.pb"
STUDY = """
name = "demo"
[[model]]
name = "net"
builder = "models:net"
[train]
batch_size = [8]
[freeze]
policies = ["layer:*"]
[measure]
profile_steps = 0
[resources]
cpus_per_trial = 1
trial_timeout_s = 20.0
"""
PROFILED = STUDY.replace("profile_steps = 0", "profile_steps = 3")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return install_fake(tmp_path / "fake", monkeypatch)


def built(asked: Study, logs: Path) -> Mapping[str, ModelFacts | Failed]:
    return {
        model.name: replace(facts(("net/a", "net/b", "net/c")), name=model.name)
        for model in asked.models
    }


def sweep(out: Path, text: str = STUDY, inspect=built) -> dict[str, dict]:
    """Run it with the fake measuring process; its rows of `trials` by id."""
    study = parse_study(text, check_builders=False)
    run_sweep(study, str(out), make_executor=LocalExecutor, inspect=inspect, process_module=FAKE)
    from frostline.store.sweep import open_sweep

    return {row["trial_id"]: row for row in open_sweep(str(out)).trials().to_pylist()}


def events_of(file: Path) -> Iterator[Event]:
    """What is in an event file; TensorBoard's reader checks the framing and every checksum."""
    reader = PyRecordReader_New(str(file))
    while True:
        try:
            reader.GetNext()
        except OutOfRangeError:
            return
        yield Event.FromString(reader.record())


class Told:
    """What an event file tells TensorBoard."""

    def __init__(self, content: bytes | Path, scratch: Path) -> None:
        file = content if isinstance(content, Path) else scratch / "events"
        if isinstance(content, bytes):
            file.write_bytes(content)
        first, *rest = events_of(file)
        assert first.file_version == "brain.Event:2"
        self.scalars: dict[str, list[tuple[int, float]]] = {}
        self.plugin: dict[str, bytes] = {}
        for event in rest:
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    [number] = value.tensor.float_val
                    self.scalars.setdefault(value.tag, []).append((event.step, number))
                else:
                    self.plugin[value.tag] = value.metadata.plugin_data.content

    @property
    def start(self) -> SessionStartInfo:
        content = self.plugin[metadata.SESSION_START_INFO_TAG]
        return metadata.parse_session_start_info_plugin_data(content)

    @property
    def hparams(self) -> dict[str, str | float]:
        return {
            name: getattr(value, value.WhichOneof("kind"))
            for name, value in self.start.hparams.items()
        }

    @property
    def end(self) -> SessionEndInfo:
        content = self.plugin[metadata.SESSION_END_INFO_TAG]
        return metadata.parse_session_end_info_plugin_data(content)

    @property
    def experiment(self) -> api_pb2.Experiment:
        return metadata.parse_experiment_plugin_data(self.plugin[metadata.EXPERIMENT_TAG])


def steps_of(trial_id: str) -> list[dict]:
    times = {"baseline": (40_000_000, 42_000_000), "trial": (20_000_000, 21_000_000)}
    return [
        {"trial_id": trial_id, "arm": arm, "pair": pair, "position": 0, "warmup": pair < 0,
         "n_steps": 4, "step_ns": ns[max(pair, 0)]}
        for arm, ns in times.items()
        for pair in (-1, 0, 1)
    ]  # fmt: skip


def test_a_trial_tells_its_hyperparameters_scalars_and_samples(make_row, tmp_path: Path) -> None:
    row = make_row("prefix:2", [0, 1], 2.0)
    told = Told(trial_events(row, steps_of(row["trial_id"])), tmp_path)

    assert told.hparams == {
        "model": "net", "policy": "prefix:2", "policy_family": "prefix", "role": "configuration",
        "frozen_fraction": pytest.approx(row["frozen_fraction"]), "earliest_trainable_layer": 2,
        "batch_size": 16, "optimizer": "adam", "precision": "float32", "jit_compile": "auto",
        "strategy": "single",
    }  # fmt: skip
    assert told.end.status == api_pb2.STATUS_SUCCESS
    assert told.start.start_time_secs == row["started_at"].timestamp()
    assert told.end.end_time_secs - told.start.start_time_secs == pytest.approx(4.0)
    assert told.scalars["speedup"] == [(0, 2.0)]
    assert told.scalars["speedup/low"] == [(0, pytest.approx(1.96))]
    assert told.scalars["speedup/high"] == [(0, pytest.approx(2.04))]
    assert told.scalars["step_ms"] == [(0, 21.0)]
    assert told.scalars["step_ms/baseline"] == [(0, 42.0)]
    assert told.scalars["pass_ms/forward"] == [(0, 14.0)]
    assert told.scalars["profiler/overhead"] == [(0, pytest.approx(1.02))]
    assert told.scalars["samples/step_ms"] == [(0, 20.0), (1, 21.0)]
    assert told.scalars["samples/step_ms/baseline"] == [(0, 40.0), (1, 42.0)]
    assert "energy_joules_per_step" not in told.scalars


def test_what_was_not_measured_is_left_out(make_row, tmp_path: Path) -> None:
    nothing = {each.column: None for each in SCALARS}
    row = make_row("none", [], 1.0, is_control=True, status="failed", optimizer=None) | nothing
    row |= {"frozen_fraction": None, "earliest_trainable_layer": None}
    told = Told(trial_events(row, ()), tmp_path)

    assert told.end.status == api_pb2.STATUS_FAILURE
    assert told.scalars == {}
    assert told.hparams["role"] == "control"
    assert told.hparams["optimizer"] == "the model's own"
    assert not {"frozen_fraction", "earliest_trainable_layer"} & told.hparams.keys()


def test_the_sweep_tells_which_values_occur(sweep_rows: list[dict], tmp_path: Path) -> None:
    told = Told(experiment_events("demo", sweep_rows, created_s=1.0), tmp_path).experiment
    columns = {info.name: info for info in told.hparam_infos}

    assert list(columns) == [each.name for each in HPARAMS]
    assert set(columns["policy_family"].domain_discrete) == {
        "none", "prefix", "suffix", "layer", "all_but_head", "regex",
    }  # fmt: skip
    assert columns["frozen_fraction"].domain_interval.min_value == 0
    most = max(row["frozen_fraction"] for row in sweep_rows)
    assert columns["frozen_fraction"].domain_interval.max_value == pytest.approx(most)
    assert columns["policy"].differs
    assert not columns["batch_size"].differs
    assert [info.name.tag for info in told.metric_infos] == ["speedup", "step_ms"]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("none", "none"),
        ("prefix:8", "prefix"),
        ("layer:vgg16/block1_conv1", "layer"),
        ("random:4@0.5#2", "random"),
        ("regex:block[12]+_.*", "regex"),
        ("anchors:pass_through", "anchors"),
        ("list:a/kernel,b/kernel", "list"),
        ("prefix:8+norms+prefix:2", "prefix+norms"),
        ("of_a_later_version:8", "of_a_later_version"),
    ],
)
def test_families(policy: str, expected: str) -> None:
    assert family(policy) == expected


def test_writing_events_needs_no_tensorflow() -> None:
    program = (
        "import sys, frostline.sweep.run, frostline.schedule.lease\n"
        "from frostline.tensorboard.events import experiment_events\n"
        "assert experiment_events('x', [], created_s=0.0)\n"
        "assert 'tensorboard' in sys.modules\n"
        "print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False"]


def test_every_trial_of_a_sweep_has_its_events_before_its_commit(
    fake: Fake, tmp_path: Path
) -> None:
    fake.behave({"layer:2": ["fail"]})
    out = tmp_path / "out"
    rows = sweep(out, PROFILED.replace("[measure]", '[measure]\nkeep_traces = "none"'))

    assert {row["status"] for row in rows.values()} == {"ok", "failed"}
    files = {path.parent.name for path in (out / "tensorboard").glob("*/*tfevents*")}
    assert files == set(rows)
    assert not list((out / "tensorboard").rglob("*.xplane.pb"))
    for trial_id, row in rows.items():
        told = Told(out / events_path(trial_id), tmp_path)
        assert told.hparams["policy"] == row["policy"]
        if row["status"] == "ok":
            assert told.end.status == api_pb2.STATUS_SUCCESS
            assert told.scalars["speedup"] == [(0, pytest.approx(row["speedup"]))]
            assert len(told.scalars["samples/step_ms"]) == row["pairs"]
        else:
            assert told.end.status == api_pb2.STATUS_FAILURE
            assert told.scalars == {}
        written, committed = out / events_path(trial_id), out / table_file("trials", trial_id)
        assert written.stat().st_mtime_ns <= committed.stat().st_mtime_ns
    told = Told(out / EXPERIMENT_PATH, tmp_path)
    policies = {info.name: set(info.domain_discrete) for info in told.experiment.hparam_infos}
    assert policies["policy"] == {row["policy"] for row in rows.values()}


def test_the_table_goes_on_showing_trials_of_an_earlier_version_of_the_study(
    fake: Fake, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    sweep(out)
    rows = sweep(out, STUDY.replace("layer:*", "biases+layer:1"))
    told = Told(out / EXPERIMENT_PATH, tmp_path).experiment
    policies = next(info.domain_discrete for info in told.hparam_infos if info.name == "policy")
    assert set(policies) >= {row["policy"] for row in rows.values()}


def test_a_model_that_builds_after_all_leaves_no_events_of_its_failure(
    fake: Fake, tmp_path: Path
) -> None:
    def broken(asked: Study, logs: Path) -> Mapping[str, ModelFacts | Failed]:
        logs.joinpath("inspect-net.log").write_text("no")
        return {"net": Failed(stage="build", kind="ValueError", message="no", fatal=False)}

    out = tmp_path / "out"
    [unbuilt] = sweep(out, inspect=broken)
    assert (out / log_path(unbuilt)).exists()
    told = Told(out / events_path(unbuilt), tmp_path)
    assert told.end.status == api_pb2.STATUS_FAILURE
    assert "frozen_fraction" not in told.hparams
    assert unbuilt not in sweep(out)
    assert not (out / events_path(unbuilt)).exists()
    assert not (out / log_path(unbuilt)).exists()


@pytest.mark.tf
@pytest.mark.browser
def test_a_browser_shows_sessions_tools_and_hyperparameters(fake: Fake, tmp_path: Path) -> None:
    shutil.copyfile(PROFILE, fake.folder / "recorded.xplane.pb")
    fake.behave({"layer:2": ["fail"]})
    out = tmp_path / "out"
    rows = sweep(out, PROFILED)
    kept = [
        f"{run_name(row)}/{row.trial_id}"
        for row in open_sweep(str(out)).trial_rows()
        if row.trace_path is not None
    ]
    assert len(kept) == len(rows) - 1

    program = "import sys; from frostline.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "tensorboard", str(out), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            said = ""
            while len(re.findall("overview_page", said)) < len(kept):
                line = server.stdout.readline()
                assert line, said
                said += line
            home = re.search(r"http://127\.0\.0\.1:\d+/", said)
            assert home, said
            assert f"{home[0]}#hparams" in said
            _check_listening(server.pid)
            _check_answers(home[0], kept)
            with chromium() as browser:
                page = browser.new_page(viewport={"width": 1600, "height": 900})
                page.set_default_timeout(60_000)
                _check_table(page, home[0], rows)
                _check_profile(page, home[0], kept)
        finally:
            children = psutil.Process(server.pid).children(recursive=True)
            server.send_signal(signal.SIGINT)
            rest = server.stdout.read()
    assert server.returncode == 0
    assert "TensorBoard ended." in rest
    assert psutil.wait_procs(children, timeout=20)[1] == []


@pytest.mark.tf
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_server_ends_with_the_command_however_that_ends(
    number: signal.Signals, make_sweep, tmp_path: Path
) -> None:
    out = make_sweep()
    (out / "tensorboard").mkdir(exist_ok=True)
    program = "import sys; from frostline.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "tensorboard", str(out), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # as without nohup
    ) as server:  # fmt: skip
        assert server.stdout is not None
        assert "http://127.0.0.1:" in server.stdout.readline()
        children = psutil.Process(server.pid).children(recursive=True)
        assert children
        server.send_signal(number)
        assert psutil.wait_procs(children, timeout=20)[1] == []


def test_a_server_that_does_not_start_says_why_in_its_last_words(tmp_path: Path, monkeypatch):
    dies = "import sys; print('first'); sys.exit('no module named grpc')"
    monkeypatch.setattr(
        "frostline.tensorboard.server.command", lambda *_: [sys.executable, "-c", dies]
    )
    with pytest.raises(FrostlineError, match="TensorBoard ended:\n") as raised:
        TensorBoard(tmp_path, log=tmp_path / "log")
    for line in ("first", "no module named grpc"):
        assert f"\n  {line}" in str(raised.value)
    assert str(tmp_path) not in str(raised.value), "the log is gone by the time this is read"


@pytest.mark.parametrize(
    ("end", "ended"),
    [("sys.exit('no space left')", 1), ("os.kill(os.getpid(), signal.SIGKILL)", -9)],
)
def test_a_server_that_ends_by_itself_later_says_so(
    end: str, ended: int, tmp_path: Path, monkeypatch
) -> None:
    listens = (
        "import os, signal, sys, time; print('http://127.0.0.1:1234', flush=True); "
        f"time.sleep(1); {end}"
    )
    monkeypatch.setattr(
        "frostline.tensorboard.server.command", lambda *_: [sys.executable, "-c", listens]
    )
    failed = pytest.raises(FrostlineError, match=f"ended by itself, code {ended}:\n")
    with TensorBoard(tmp_path, log=tmp_path / "log") as server, failed:
        server.runs_on(20)


def test_a_server_that_was_asked_to_end_has_not_failed(tmp_path: Path, monkeypatch) -> None:
    listens = "import time; print('http://127.0.0.1:1234', flush=True); time.sleep(60)"
    monkeypatch.setattr(
        "frostline.tensorboard.server.command", lambda *_: [sys.executable, "-c", listens]
    )
    with TensorBoard(tmp_path, log=tmp_path / "log") as server:
        assert server.runs_on(0.01)
        psutil.Process(server.pid).terminate()
        assert not server.runs_on(20)


def _check_listening(pid: int) -> None:
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    found = listening(tree)
    assert found
    assert found <= {"127.0.0.1", "::1"}


def _get(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=60) as reply:
        content: bytes = reply.read()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def _check_answers(home: str, kept: list[str]) -> None:
    sessions = json.loads(_get(f"{home}data/plugin/profile/runs"))
    assert sorted(sessions) == sorted(kept)
    asked = f"{home}data/plugin/profile/data?run={quote(kept[0])}&host=fake-host&tag="
    [host, *_] = json.loads(_get(f"{asked}framework_op_stats"))
    operations = {cell["v"] for row in host["rows"] for cell in row["c"]}
    assert "net_1/conv1_1/convolution" in " ".join(map(str, operations))
    names = {
        event.get("name") for event in json.loads(_get(f"{asked}trace_viewer@"))["traceEvents"]
    }
    assert {"train 0", "train 1", "train 2"} & names


def _check_table(page: Page, home: str, rows: dict[str, dict]) -> None:
    page.goto(f"{home}#hparams")
    page.get_by_text(max(rows)).first.wait_for()
    for trial_id, row in rows.items():
        assert page.get_by_text(f" · {trial_id}").count() == 1
        assert page.get_by_text(row["policy"], exact=True).count()
    for column in ("policy_family", "frozen_fraction", "speedup", "step_ms"):
        assert page.get_by_text(column, exact=True).count()
    page.get_by_text("PARALLEL COORDINATES VIEW").click()
    page.locator("tf-hparams-parallel-coords-plot svg path").first.wait_for(state="attached")


def _check_profile(page: Page, home: str, kept: list[str]) -> None:
    session = quote(kept[0])
    page.goto("about:blank")
    page.goto(f"{home}?run={session}&tag=trace_viewer%40#profile")
    plugin = page.frame_locator("iframe").first
    plugin.get_by_text(f"Sessions ({len(kept)})").wait_for()
    viewer = plugin.frame_locator("iframe").first
    viewer.get_by_text("/host:CPU").locator("visible=true").first.wait_for()

    page.goto("about:blank")
    page.goto(f"{home}?run={session}&tag=framework_op_stats#profile")
    page.frame_locator("iframe").first.get_by_text("ON HOST: TOTAL SELF-TIME").first.wait_for()
