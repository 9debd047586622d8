"""Recorded profiles end to end, files that are none, and the life of the converting process."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from frostline.errors import TraceError
from frostline.schedule.cores import pinned
from frostline.scratch import remove_dead
from frostline.trace.converter import TraceConverter
from frostline.trace.ops import EXECUTOR_TYPE, Trace

PROFILES = Path(__file__).parent / "data" / "profiles"

FRAMEWORK_OP_STATS = """
import json, sys
from xprof.convert import raw_to_tool_data
table, _ = raw_to_tool_data.xspace_to_tool_data([sys.argv[1]], "framework_op_stats", {})
columns = [column["id"] for column in json.loads(table)[1]["cols"]]
for row in json.loads(table)[1]["rows"]:
    cells = dict(zip(columns, [cell["v"] for cell in row["c"]]))
    print(json.dumps([cells["operation"], cells["total_self_time"]]))
"""


@pytest.fixture(scope="module")
def converter() -> Iterator[TraceConverter]:
    with TraceConverter() as running:
        yield running


@pytest.fixture(scope="module")
def graph_trace(converter: TraceConverter) -> Trace:
    return converter.convert(PROFILES / "graph.xplane.pb", deadline_s=60)


def framework_op_stats(profile: Path, folder: Path) -> dict[str, float]:
    """Self times in microseconds as TensorBoard shows them; computed on a copy: xprof caches."""
    copy = shutil.copy(profile, folder / "vm.xplane.pb")
    done = subprocess.run(
        [sys.executable, "-c", FRAMEWORK_OP_STATS, str(copy)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))


def test_total_and_each_op_agree_with_framework_op_stats_to_the_microsecond(
    graph_trace: Trace, tmp_path: Path
):
    theirs_us = framework_op_stats(PROFILES / "graph.xplane.pb", tmp_path)
    ops = [op for op in graph_trace.ops if op.op_type != EXECUTOR_TYPE]
    ours_us = {op.op_name: op.self_ns / 1000 for op in ops}
    assert len(ours_us) == len(ops) > 100
    assert ours_us.keys() == theirs_us.keys()
    assert ours_us == pytest.approx(theirs_us, abs=0.05)
    assert graph_trace.total_ns / 1000 == pytest.approx(sum(theirs_us.values()), abs=1.0)


def test_under_xla_the_instructions_lie_inside_what_framework_op_stats_calls_one_op(
    converter: TraceConverter, tmp_path: Path
):
    """On a CPU it lists the launch of the program alone; what that holds is ours to split."""
    trace = converter.convert(PROFILES / "xla.xplane.pb", deadline_s=60)
    [(launch, launch_us)] = framework_op_stats(PROFILES / "xla.xplane.pb", tmp_path).items()
    assert launch.startswith("__inference_one_step_on_data")
    assert launch not in {op.op_name for op in trace.ops}
    assert launch_us / 2 < trace.busy_ns / 1000 <= launch_us


def test_a_recorded_profile_in_graph_mode(graph_trace: Trace):
    assert graph_trace.steps == 3
    assert graph_trace.total_ns == sum(op.self_ns for op in graph_trace.ops)
    assert 0 < graph_trace.busy_ns <= graph_trace.total_ns
    assert not graph_trace.eager
    assert graph_trace.warnings == ()
    assert all(op.calls % 3 == 0 for op in graph_trace.ops)


def test_a_recorded_profile_under_xla(converter: TraceConverter):
    trace = converter.convert(PROFILES / "xla.xplane.pb", deadline_s=60)
    assert trace.steps == 3
    assert trace.warnings == ()
    assert all(op.hlo_op and op.shares for op in trace.ops)
    filters = {
        share.op_name
        for op in trace.ops
        for share in op.shares
        if share.op_name.endswith("Conv2DBackpropFilter")
    }
    assert filters == {
        f"gradient_tape/net_1/{layer}_1/convolution/Conv2DBackpropFilter"
        for layer in ("conv1", "conv3")
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<html>404</html>", "no complete XSpace"),
        (b"PAR1" * 100, "no complete XSpace"),
        (b"\x22\x02vm", "no complete XSpace"),
    ],
)
def test_what_is_no_profile_is_refused_with_a_reason(
    converter: TraceConverter, tmp_path: Path, content: bytes, reason: str
):
    path = tmp_path / "x.xplane.pb"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=reason) as caught:
        converter.convert(path, deadline_s=60)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.95, 0.999])
def test_a_truncated_profile_is_refused(converter: TraceConverter, tmp_path: Path, kept: float):
    content = (PROFILES / "graph.xplane.pb").read_bytes()
    path = tmp_path / "x.xplane.pb"
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(TraceError, match="cut off"):
        converter.convert(path, deadline_s=60)


def test_what_a_later_profiler_adds_is_passed_over(
    converter: TraceConverter, graph_trace: Trace, tmp_path: Path
):
    path = tmp_path / "x.xplane.pb"
    field_15 = b"\x7a\x03new"
    path.write_bytes((PROFILES / "graph.xplane.pb").read_bytes() + field_15)
    assert converter.convert(path, deadline_s=60).ops == graph_trace.ops


def test_a_missing_profile_is_refused(converter: TraceConverter, tmp_path: Path):
    with pytest.raises(TraceError, match="No such file"):
        converter.convert(tmp_path / "missing.xplane.pb", deadline_s=60)


def test_a_profile_of_the_profiler_alone_is_refused(converter: TraceConverter, tmp_path: Path):
    content = (PROFILES / "graph.xplane.pb").read_bytes()
    path = tmp_path / "x.xplane.pb"
    path.write_bytes(content.replace(b"step_num", b"step_mum"))
    with pytest.raises(TraceError, match="no training steps"):
        converter.convert(path, deadline_s=60)


def test_past_its_deadline_the_process_is_killed_and_replaced(tmp_path: Path):
    with TraceConverter() as converter:
        with pytest.raises(TraceError, match="within 0 s"):
            converter.convert(PROFILES / "graph.xplane.pb", deadline_s=0)
        assert converter.pid is None
        trace = converter.convert(PROFILES / "graph.xplane.pb", deadline_s=60)
        first = converter.pid
        assert trace.steps == 3
        converter.convert(PROFILES / "graph.xplane.pb", deadline_s=60)
        assert converter.pid == first


def test_a_stopped_process_meets_its_deadline_too():
    with TraceConverter() as converter:
        converter.convert(PROFILES / "graph.xplane.pb", deadline_s=60)
        assert converter.pid is not None
        os.kill(converter.pid, signal.SIGSTOP)
        with pytest.raises(TraceError, match=r"within 0\.5 s"):
            converter.convert(PROFILES / "graph.xplane.pb", deadline_s=0.5)
        assert converter.pid is None


def test_a_process_that_died_is_replaced_on_next_use():
    with TraceConverter() as converter:
        converter.convert(PROFILES / "graph.xplane.pb", deadline_s=60)
        assert converter.pid is not None
        os.kill(converter.pid, signal.SIGKILL)
        while converter.pid is not None:
            time.sleep(0.01)
        assert converter.convert(PROFILES / "graph.xplane.pb", deadline_s=60).steps == 3


def test_a_process_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with (
        TraceConverter() as converter,
        pytest.raises(TraceError, match=r"(?s)converter died.*exit code 1.*No module named"),
    ):
        converter.convert(PROFILES / "graph.xplane.pb", deadline_s=60)


@pytest.fixture
def interrupt_soon() -> Iterator[None]:
    """Raises KeyboardInterrupt in the main thread 0.2 s after the test began to wait."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("interrupt_soon")
def test_an_interrupted_conversion_leaves_no_process():
    """Ctrl-C or a cancelled task arrives while the answer is awaited."""
    with TraceConverter() as converter:
        converter.convert(PROFILES / "graph.xplane.pb", deadline_s=60)
        assert converter.pid is not None
        os.kill(converter.pid, signal.SIGSTOP)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            converter.convert(PROFILES / "graph.xplane.pb", deadline_s=60)
        assert converter.pid is None


def test_the_process_ends_with_its_parent_and_the_next_one_removes_its_folder(tmp_path: Path):
    program = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from frostline.trace.converter import TraceConverter\n"
        "converter = TraceConverter()\n"
        f"converter.convert(Path({str(PROFILES / 'graph.xplane.pb')!r}))\n"
        "print(converter.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert parent.returncode == -signal.SIGKILL
    child = Path("/proc") / parent.stdout.strip()
    end = time.monotonic() + 10
    while child.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not child.exists() or "Z" in (child / "stat").read_text().split(")")[1]
    assert len(list(tmp_path.glob("frostline-convert-*"))) == 1
    remove_dead(tmp_path)
    assert list(tmp_path.glob("frostline-convert-*")) == []


def test_conversion_runs_without_tensorflow():
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from frostline.trace.convert import convert\n"
        "print('tensorflow' in sys.modules, 'jax' in sys.modules)\n"
        "sys.modules['tensorflow'] = sys\n"
        "try:\n"
        "    convert(Path('x'), parquet=Path('y'))\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["False", "False", "TraceError"]


def test_the_parent_imports_neither_xprof_nor_duckdb():
    program = "import frostline.trace.converter, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert not {"xprof", "duckdb", "google.protobuf"} & set(done.stdout.split())


def test_the_process_keeps_to_the_cores_of_its_lease():
    core = min(os.sched_getaffinity(0))
    with pinned((core,)), TraceConverter() as converter:
        converter.convert(PROFILES / "graph.xplane.pb", deadline_s=60)
        assert converter.pid is not None
        assert os.sched_getaffinity(converter.pid) == {core}
