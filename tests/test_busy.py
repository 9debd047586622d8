"""What part of a step the device is busy: one share, wherever the program speaks of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from built_trials import GPU, TWO_GPUS, Built, Chain, row_of
from rich.console import Console

from frostline.analyse import summarise
from frostline.analyse.busy import busy_fraction
from frostline.analyse.waits import HOST_BOUND
from frostline.attribute.step_graph import PASSES
from frostline.cli.results import result
from frostline.device_id import is_cpu
from frostline.difference import diff
from frostline.explanation import explain
from frostline.explanation.terminal import rendered
from frostline.reporting.figures.time import IDLE_LABEL
from frostline.reporting.make import content_of
from frostline.words import duration_ns

MS = 1_000_000
GPUS = (GPU, "/device:GPU:1")


@dataclass(frozen=True, kw_only=True)
class Device:
    """What a sweep ran on: its columns, the planes of its traces, and how its busy time counts."""

    columns: Mapping[str, str]
    planes: tuple[str, ...]
    devices: int = 1
    profiled: bool = False

    def busy_ns(self, step_ns: int, share: float, overhead: float) -> int:
        """What a trace sums up to where an op runs during this share of the step."""
        return round(share * step_ns * self.devices * (overhead if self.profiled else 1))


DEVICES = {
    "CPU": Device(columns={"device_id": "cpu:0,1"}, planes=("/host:CPU",), profiled=True),
    "CPU, replicas": Device(
        columns={"device_id": "cpu:0,1", "strategy": "mirrored"},
        planes=("/host:CPU",),
        profiled=True,
    ),
    "GPU": Device(columns={"device_id": "GPU-1"}, planes=(GPU,)),
    "two GPUs": Device(columns=TWO_GPUS, planes=GPUS, devices=2),
    "one GPU of two": Device(columns={"device_id": "GPU-1,GPU-2"}, planes=(GPU,)),
}


@pytest.fixture(params=DEVICES)
def device(request) -> Device:
    return DEVICES[request.param]


@pytest.mark.parametrize("overhead", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_is_of_the_step_that_the_device_saw(device: Device, overhead: float, share: float):
    busy_ns = device.busy_ns(40 * MS, share, overhead)
    row = row_of(
        step_ns=40 * MS, busy_ns=busy_ns, profiler_overhead=overhead, **device.columns
    )  # fmt: skip
    assert busy_fraction(row) == pytest.approx(share)


def test_where_busy_time_was_not_recorded_the_op_time_bounds_it_from_above(device: Device):
    passes = dict.fromkeys(
        ("forward_ns", "activation_gradient_ns", "weight_gradient_ns", "optimizer_ns", "input_ns",
         "other_ns"),
        device.busy_ns(48 * MS, 0.25, 3.0) // 6,
    )  # fmt: skip
    about = {"busy_ns": None, "profiler_overhead": 3.0, **passes, **device.columns}
    assert busy_fraction(row_of(step_ns=48 * MS, **about)) == pytest.approx(0.25)
    assert busy_fraction(row_of(step_ns=8 * MS, **about)) is None  # more op time than step


def test_a_share_is_at_most_the_whole_step():
    assert busy_fraction(row_of(step_ns=MS, busy_ns=2 * MS, device_id="GPU-1")) == 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"step_ns": None},
        {"step_ns": 0},
        {"device_id": None},
        {"profiler_overhead": None},  # nobody knows how long the step was in which the ops ran
        {"busy_ns": None} | dict.fromkeys(f"{name}_ns" for name in PASSES),
    ],
)
def test_what_is_not_known_is_no_share(changes: dict):
    known = {"step_ns": 40 * MS, "busy_ns": 10 * MS, "device_id": "cpu:0"}
    assert busy_fraction(row_of(**known)) is not None
    assert busy_fraction(row_of(**known | changes)) is None


def test_a_gpus_share_needs_no_profiled_step():
    row = row_of(step_ns=40 * MS, busy_ns=10 * MS, device_id="GPU-1", profiler_overhead=None)
    assert busy_fraction(row) == 0.25


# ---- The report, the terminal, `explain` and `diff` on one sweep


def sweep_on(device: Device, folder: Path, share: float, overhead: float, *, recorded: bool):
    """Three controls and a frozen layer that changes nothing, on a device that is so busy."""
    built = Built(folder=folder, chain=Chain(device=device.planes[0]))
    ops = [op for plane in device.planes for op in Chain(device=plane).ops()]
    busy_ns = sum(op["ns_per_step"] for op in ops)
    step_ns = round(busy_ns / device.busy_ns(MS, share, overhead) * MS)
    about = {
        "ops": ops, "step_ns": step_ns, "baseline_step_ns": step_ns,
        "busy_ns": busy_ns if recorded else None, "profiler_overhead": overhead, **device.columns,
    }  # fmt: skip
    built.controls(**about).trial("layer:3", [2], speedup=1.0001, **about)
    return built.sweep(), step_ns


def printed(*parts) -> str:
    console = Console(width=100, no_color=True)
    with console.capture() as capture:
        console.print(*parts)
    return " ".join(capture.get().split())


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("share", [0.4, 0.9])
def test_whoever_speaks_of_it_says_the_same(
    device: Device, tmp_path: Path, share: float, recorded: bool
):
    sweep, step_ns = sweep_on(device, tmp_path / "out", share, 3.0, recorded=recorded)
    summary = summarise(sweep.trial_rows())
    (group,) = summary.groups
    assert group.busy_fraction == pytest.approx(share)

    found = explain(sweep, "layer:3")
    (waiting,) = [part for part in found.parts if part.kind == "waiting"]
    assert waiting.baseline_ns == pytest.approx((1 - share) * step_ns, rel=1e-6)
    assert waiting.trial_ns == pytest.approx((1 - share) * step_ns, rel=1e-3)
    assert found.reason("waiting_not_recorded") is None
    assert found.forward_alone is not None

    (section,) = content_of(sweep, summary).sections
    times = next(figure for figure in section.figures if figure.kind == "time-by-pass")
    idle = [row["percent"] for row in times.data["times"] if row["pass"] == IDLE_LABEL]
    assert len(idle) == 4
    assert idle == pytest.approx([100 * (1 - share)] * 4, abs=0.1)

    sides = diff(sweep, "control 1", "layer:3", clock="timed")
    assert sides.a.total_ns == pytest.approx(share * step_ns, rel=2e-3)
    assert sides.b.total_ns == pytest.approx(share * step_ns, rel=2e-3)

    bound = share < 1 - HOST_BOUND
    works = f"of its {duration_ns(step_ns)}, the device works during"
    assert (works in printed(result(summary))) is bound
    assert (works in section.answer) is bound
    assert ("during 60% of it no op runs" in printed(rendered(found))) is bound
    assert (found.reason("host_bound") is not None) is bound


@pytest.mark.parametrize(
    ("device_id", "on_cpu"),
    [("cpu:0,1", True), ("cpu:", True), ("0-1", True), ("0", False), ("0,1", False),
     ("GPU-5a-0b", False), ("MIG-1-2", False)],
)  # fmt: skip
def test_the_id_of_a_device_tells_a_cpu(device_id: str, on_cpu: bool) -> None:
    assert is_cpu(device_id) is on_cpu
