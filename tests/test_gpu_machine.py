"""A machine as NVML describes it: what `plan`, `sweep` and `make demo` make of it."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from gpu_kit import GIB, FakeGpu, FakeNvml, no_nvml
from schedule_kit import SETTING, facts

from frostline.cli import main
from frostline.cli.results import device_words
from frostline.errors import UsageError
from frostline.facts.model_facts import parse_facts
from frostline.machine import this_machine
from frostline.memory.expected import least_bytes
from frostline.plan.estimate import estimate
from frostline.plan.trials import plan_trials
from frostline.schedule.chunks import chunks_of
from frostline.schedule.lease_spec import Resources
from frostline.store.sweep import open_sweep
from frostline.study.study import parse_study
from frostline.sweep.run import run_sweep
from frostline.sweep.workers import on_ray

ROOT = Path(__file__).parents[1]
GPU_SWEEPS = ROOT.parent / "shared" / "gpu-h200"
EIGHT = [FakeGpu(uuid=f"GPU-{number}") for number in range(8)]
STUDY = """
name = "s"
[[model]]
name = "net"
builder = "mine:net"
[freeze]
policies = ["prefix:*"]
[measure]
profile_steps = 0
[resources]
cpus_per_trial = 2
"""
LAYERS = tuple(f"net/{name}" for name in "abcdefgh")


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen of them."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Plan a study of a model whose facts are known; the exit code and what is said."""
    (tmp_path / "mine.py").write_text("def net():\n    return None\n")
    path = tmp_path / "study.toml"

    def plan(text: str = STUDY, *options: str, layers: object = facts(LAYERS)) -> tuple[int, str]:
        monkeypatch.setattr(
            "frostline.measure.inspect_client.inspect_models", lambda *_, **__: {"net": layers}
        )
        path.write_text(text)
        code = main(["plan", str(path), *options])
        said = capsys.readouterr()
        return code, " ".join((said.out + said.err).split())

    return plan


def test_on_gpus_a_plan_holds_one_for_each_trial(planned, cores, monkeypatch) -> None:
    FakeNvml(EIGHT[:2]).install(monkeypatch)
    code, said = planned()
    assert code == 0
    assert "each on a GPU (NVIDIA H200) and 2 CPU cores, 2 at a time" in said
    assert "1 GPU at 8e+12 to 6e+13 FLOP/s" in said


@pytest.mark.parametrize("trains", [True, False])
def test_what_the_inspection_could_not_find_out_is_said_once(
    planned, cores, monkeypatch, trains: bool
) -> None:
    no_nvml(monkeypatch)
    known = replace(facts(LAYERS), facts_warnings=("no FLOPs are known",))
    text = STUDY.replace("cpus_per_trial = 2", "cpus_per_trial = 1")
    _, said = planned(text, layers=known if trains else replace(known, layers=()))
    assert said.count("model `net`: no FLOPs are known.") == 1
    assert ("each on 1 CPU core (this machine" in said) == trains


def test_without_gpus_a_plan_holds_cores_and_says_so(planned, cores, monkeypatch) -> None:
    no_nvml(monkeypatch)
    code, said = planned()
    assert code == 0
    assert "each on 2 CPU cores (this machine has no GPU), 4 at a time" in said
    # Two copies of 8 layers with 100 parameters, their gradients, and an optimizer without state.
    assert "Memory of a trial: at least 13 kB." in said


@pytest.mark.parametrize("gpus", [1, 3])
def test_a_plan_refuses_the_gpus_that_a_sweep_would_refuse(
    gpus: int, planned, cores, monkeypatch, tmp_path: Path
) -> None:
    FakeNvml(EIGHT[: gpus - 1]).install(monkeypatch)
    text = f"{STUDY}gpus_per_trial = {gpus}\n"
    code, said = planned(text)
    assert code == 2
    words = f"a trial needs 2 CPU cores and {gpus} GPUs on one node, and the largest here has 16"
    assert words in said
    with pytest.raises(UsageError, match=words):
        run_sweep(parse_study(text, check_builders=False), tmp_path / "out")
    assert planned(text, "--workers", "4")[0] == 0, "on a cluster that has them"


def test_what_has_no_room_is_refused_before_ray_is_started(cores, monkeypatch) -> None:
    no_nvml(monkeypatch)
    with pytest.raises(UsageError, match="lower cpus_per_trial"):
        on_ray(None, None)(Resources(gpus=0, cpus=17))  # type: ignore[arg-type]


def test_a_plan_says_as_many_at_a_time_as_a_sweep_runs(cores, monkeypatch) -> None:
    """Eleven trials of one group are cut into four leases, which run side by side."""
    no_nvml(monkeypatch)
    study = parse_study(STUDY, check_builders=False).with_gpus(0)
    known = {"net": facts(LAYERS)}
    plan = plan_trials(study, known)
    slots = this_machine().slots(cpus=2, gpus=0)
    leases = [chunk.trials for chunk in chunks_of(plan.groups, done=(), slots=slots)]
    found = estimate(plan, known, study, workers=slots, leases=leases)
    alone = estimate(plan, known, study)
    assert (slots, len(leases), found.side_by_side, alone.side_by_side) == (8, 4, 4, 1)
    longest = max(map(len, leases))
    (group,) = found.groups
    assert found.low_s == pytest.approx(group.open_s[0] + longest * group.trial_s[0])
    assert found.low_s < alone.low_s


def test_a_model_that_fits_no_memory_is_refused_with_what_it_needs(
    planned, cores, monkeypatch
) -> None:
    """Weights, gradients and Adam's two moments of 3 * 10^9 parameters take 48 GB."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("", (), {"total": 24 * GIB})())
    no_nvml(monkeypatch)
    large = facts(("net/a", "net/b"))
    layers = tuple(
        replace(one, variables=tuple(replace(each, params=1_500_000_000) for each in one.variables))
        for one in large.layers
    )
    large = replace(large, layers=layers)
    text = STUDY.replace("[freeze]", '[train]\noptimizer = ["adam"]\n[freeze]')
    study = parse_study(text, check_builders=False)
    assert least_bytes(large, study.settings()[0]) == 48_000_000_000

    code, said = planned(text, layers=large)
    assert code == 2
    assert "needs at least 48 GB of memory" in said
    assert "this machine has 26 GB" in said
    FakeNvml([FakeGpu(memory_bytes=80 * GIB)]).install(monkeypatch)
    assert planned(text, layers=large)[0] == 0, "a larger GPU holds it"
    FakeNvml([FakeGpu(memory_bytes=40 * GIB)]).install(monkeypatch)
    assert "a GPU here has 43 GB" in planned(text, layers=large)[1]


def test_a_plan_warns_of_what_will_probably_not_fit(planned, cores, monkeypatch) -> None:
    """The tensors of a step at the traced batch, grown to the study's; nothing is refused."""
    study = parse_study(STUDY, check_builders=False)
    batch = study.settings()[0].batch_size
    known = replace(facts(LAYERS), batch_size=batch // 2, step_bytes=6 * GIB)
    FakeNvml([FakeGpu(memory_bytes=10 * GIB)]).install(monkeypatch)
    code, said = planned(layers=known)
    assert code == 0
    assert "is expected to need about 13 GB of memory with all layers training" in said
    assert "a GPU here has 11 GB" in said
    FakeNvml([FakeGpu(memory_bytes=141 * GIB)]).install(monkeypatch)
    code, said = planned(layers=known)
    assert "expected to need" not in said
    assert "about 26 GB with its tensors" in said, "a baseline and a trial"


@pytest.mark.traces
@pytest.mark.skipif(not GPU_SWEEPS.is_dir(), reason="no recorded GPU sweeps beside the checkout")
@pytest.mark.parametrize(("name", "model"), [("convnet", "convnet"), ("xception", "xception")])
def test_the_time_that_sweeps_took_on_a_gpu_lies_in_the_estimate(name: str, model: str) -> None:
    out = GPU_SWEEPS / name
    study = parse_study((out / "study.toml").read_text(), former_names=True, check_builders=False)
    facts_then = parse_facts((out / "models" / f"{model}.json").read_text())
    # These inspections traced the forward pass alone. That of a whole step takes 5 to 10 times as
    # long (ResNet50: 12.6 s for 2.7 s).
    known = {model: replace(facts_then, trace_s=5 * facts_then.trace_s)}
    (run,) = open_sweep(str(out)).manifest.runs
    assert run.finished_at is not None
    took_s = (run.finished_at - run.started_at).total_seconds()
    found = estimate(plan_trials(study, known), known, study)
    assert found.low_s <= took_s <= found.high_s
    assert found.high_s <= 4 * found.low_s, "an estimate that says nothing holds everything"


@pytest.mark.traces
@pytest.mark.skipif(not GPU_SWEEPS.is_dir(), reason="no recorded GPU sweeps beside the checkout")
def test_a_sweep_ends_with_what_it_measured_on() -> None:
    rows = open_sweep(str(GPU_SWEEPS / "convnet")).trial_rows()
    assert device_words(rows) == "Measured on GPUs: NVIDIA H200 (12 trials)."
    on_cpu = [replace(row, device_id="cpu:0,1", device_kind="Xeon") for row in rows[:3]]
    assert device_words(on_cpu) == "Measured on CPU cores, no GPU: Xeon (3 trials)."
    assert device_words([replace(rows[0], speedup=None)]) == ""


@pytest.mark.parametrize("on_gpu", [True, False])
def test_make_demo_installs_what_the_machine_needs_and_says_so(
    on_gpu: bool, tmp_path: Path
) -> None:
    """The recipes run; pip and the command are stubs that write down how they were called."""
    called = tmp_path / "called.jsonl"
    stub = (
        "#!/usr/bin/env python3\nimport json, sys\n"
        f"open({str(called)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
    )
    for name in ("python", "frostline"):
        tool = tmp_path / "venv" / "bin" / name
        tool.parent.mkdir(parents=True, exist_ok=True)
        tool.write_text(stub)
        tool.chmod(0o755)
    driver = tmp_path / "version"
    driver.touch()
    done = subprocess.run(
        ["make", "demo", f"VENV={tmp_path / 'venv'}", f"NVIDIA={driver if on_gpu else ''}"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    pip, sweep = map(json.loads, called.read_text().splitlines())
    assert pip[-2:] == ["-e", ".[gpu]" if on_gpu else "."]
    assert sweep == ["sweep", "studies/demo.toml", "--out", "demo-out"]
    assert ("measuring on a GPU" in done.stdout) == on_gpu
    assert ("measuring on CPU cores" in done.stdout) != on_gpu


@pytest.mark.parametrize(
    ("optimizer", "values"),
    [
        (None, 2), ("sgd", 2), ("adamw", 4), ("AdamW(weight_decay=0.1)", 4),
        ("sgd(momentum=0.9)", 3), ("sgd(momentum=0.0)", 2),
        ("adam(amsgrad=True, use_ema=True)", 6), ("adam(gradient_accumulation_steps=4)", 5),
        ("rmsprop(centered=True, momentum=0.5)", 5), ("no(such)", 2),
    ],
)  # fmt: skip
def test_the_optimizer_s_state_is_counted_by_its_arguments(
    optimizer: str | None, values: int
) -> None:
    setting = replace(SETTING, optimizer=optimizer)
    assert least_bytes(facts(), setting) == 4 * values * facts().total_params
