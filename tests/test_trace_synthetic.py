"""Traces that no machine at hand records: built event by event, converted for real."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from xspace_writer import Event, Line, Op, Plane, encode, hlo_proto, write_xspace

from frostline.errors import TraceError
from frostline.trace.converter import TraceConverter
from frostline.trace.ops import Trace, TraceOp


@pytest.fixture(scope="module")
def converter() -> Iterator[TraceConverter]:
    with TraceConverter() as running:
        yield running


def convert(
    converter: TraceConverter,
    folder: Path,
    planes: Sequence[Plane],
    *,
    require_steps: bool = True,
) -> Trace:
    path = write_xspace(folder / "vm.xplane.pb", planes)
    return converter.convert(path, require_steps=require_steps, deadline_s=60)


def steps(count: int = 2, length_us: float = 1000) -> list[Event]:
    return [
        Event("train", number * length_us, length_us - 10, {"step_num": number, "_r": 1})
        for number in range(count)
    ]


def op(name: str, start_us: float, duration_us: float, **stats: str | int) -> Event:
    return Event(name, start_us, duration_us, {"is_eager": 0, **stats})


def host(*lines: Line, count: int = 2) -> Plane:
    return Plane("/host:CPU", [Line(1, "python", steps(count)), *lines])


def kernel(name: str, start_us: float, duration_us: float, **stats: str | int) -> Event:
    spaced = {key.replace("level_0", "level 0"): value for key, value in stats.items()}
    return Event(name, start_us, duration_us, {"correlation_id": 1, **spaced})


def by_name(trace: Trace) -> dict[str, TraceOp]:
    return {item.op_name or item.kernel or item.hlo_op: item for item in trace.ops}


def test_host_ops_are_counted_once_and_what_contains_them_is_not(converter, tmp_path: Path):
    thread = Line(
        7,
        "tf_Compute/1",
        [
            Event("ExecutorState::Process", 90, 400, {"iter_num": 0}),
            op("net/conv/Conv2D:Conv2D", 100, 200),
            op("net/head/MatMul:MatMul", 320, 50),
            op("net/conv/Conv2D:Conv2D", 1100, 300),
        ],
    )
    trace = convert(converter, tmp_path, [host(thread)])
    assert trace.steps == 2
    assert trace.total_ns == 550_000
    assert trace.busy_ns == 550_000
    conv = by_name(trace)["net/conv/Conv2D"]
    assert (conv.calls, conv.self_ns, conv.op_type) == (2, 500_000, "Conv2D")
    assert conv.device == "/host:CPU"
    assert not trace.eager


def test_time_of_an_op_inside_another_counts_for_the_inner_one(converter, tmp_path: Path):
    thread = Line(
        7,
        "tf_Compute/1",
        [
            op("outer/call:StatefulPartitionedCall", 100, 400),
            op("net/a/Relu:Relu", 150, 100),
            op("net/b/Cond:If", 300, 150),
            op("net/b/Exp:Exp", 320, 50),
            op("net/c/Tanh:Tanh", 600, 30),
        ],
    )
    trace = convert(converter, tmp_path, [host(thread)])
    selves = {name: item.self_ns for name, item in by_name(trace).items()}
    assert selves == {
        "outer/call": 150_000,
        "net/a/Relu": 100_000,
        "net/b/Cond": 100_000,
        "net/b/Exp": 50_000,
        "net/c/Tanh": 30_000,
    }
    assert trace.total_ns == 430_000


def test_overlapping_threads_add_up_to_more_cost_than_busy_time(converter, tmp_path: Path):
    lines = [
        Line(7, "tf_Compute/1", [op("net/a/Relu:Relu", 100, 300)]),
        Line(8, "tf_Compute/2", [op("net/b/Relu:Relu", 200, 300)]),
    ]
    trace = convert(converter, tmp_path, [host(*lines)])
    assert (trace.total_ns, trace.busy_ns) == (600_000, 400_000)


def test_the_input_pipeline_is_told_apart_by_its_threads(converter, tmp_path: Path):
    lines = [
        Line(7, "tf_Compute/1", [op("net/a/Relu:Relu", 100, 300)]),
        Line(
            8,
            "tf_data_iterator_get_next/9",
            [Event("Iterator::Root::Prefetch", 100, 40), op("flip/ReverseV2:ReverseV2", 110, 20)],
        ),
    ]
    ops = by_name(convert(converter, tmp_path, [host(*lines)]))
    assert ops["Iterator::Root::Prefetch"].self_ns == 20_000
    assert ops["Iterator::Root::Prefetch"].op_type == "Dataset"
    assert ops["flip/ReverseV2"].in_input
    assert not ops["net/a/Relu"].in_input


def test_a_thread_that_works_ahead_makes_nothing_busy_and_ends_no_wait(converter, tmp_path: Path):
    """The distributed iterator's background thread is blocked for the whole step and has events."""
    lines = [
        Line(7, "tf_Compute/1", [op("net/a/Relu:Relu", 100, 300), op("net/b/Relu:Relu", 600, 50)]),
        Line(8, "tf_data_iterator_get_next/9", [Event("Iterator::Root", 90, 30)]),
        Line(9, "tf_data_iterator_resource/9", [Event("Iterator::Root::Generator", 95, 540)]),
    ]
    trace = convert(converter, tmp_path, [host(*lines)])
    ops = by_name(trace)
    assert (ops["Iterator::Root"].ahead, ops["Iterator::Root::Generator"].ahead) == (False, True)
    assert trace.total_ns == 920_000, "as framework_op_stats adds them up"
    assert trace.busy_ns == 360_000, "from 90 to 400 us and from 600 to 650"
    assert ops["Iterator::Root::Generator"].wait_ns == 0
    assert ops["net/b/Relu"].wait_ns == 200_000
    assert trace.busy_ns + trace.wait_ns + trace.between_ns == trace.device_ns


def test_ops_outside_the_traced_steps_are_left_out_and_reported(converter, tmp_path: Path):
    thread = Line(
        7, "tf_Compute/1", [op("net/a/Relu:Relu", 100, 300), op("save/Save:SaveV2", 9000, 70)]
    )
    trace = convert(converter, tmp_path, [host(thread)])
    assert trace.total_ns == 300_000
    assert trace.warnings == ("1 op events (70000 ns) ran outside the traced steps",)


GPU_STREAMS = [
    Line(
        13,
        "Stream #13(Compute)",
        [
            kernel(
                "implicit_gemm",
                100,
                40,
                annotation="net/conv/Conv2D:Conv2D#shape=(float[1,2];float[3])#",
                level_0="net/conv/Conv2D:Conv2D",
                is_eager=0,
            ),
            kernel("shuffle", 140, 10, annotation="net/conv/Conv2D:Conv2D", is_eager=0),
            kernel("unknown_kernel", 160, 5),
        ],
    ),
    Line(
        14,
        "Stream #14(MemcpyH2D)",
        [
            kernel(
                "MemcpyH2D",
                50,
                7,
                annotation="IteratorGetNext/_1:_Send#from=IteratorGetNext,to=net/other/Conv2D#",
                memcpy_details="size:4 dest:0 async:1",
            )
        ],
    ),
    Line(-559038734, "TensorFlow Ops", [Event("net/conv/Conv2D", 100, 50)]),
    Line(-559038735, "TensorFlow Name Scope", [Event("net", 100, 50)]),
    Line(-559038737, "Steps", [Event("0", 0, 1000)]),
]


def test_kernels_count_for_their_op_and_derived_lines_do_not(converter, tmp_path: Path):
    dispatch = Line(7, "tf_Compute/1", [op("net/conv/Conv2D:Conv2D", 90, 500)])
    planes = [host(dispatch), Plane("/device:GPU:0", GPU_STREAMS)]
    trace = convert(converter, tmp_path, planes)
    assert trace.total_ns == 62_000
    assert {item.device for item in trace.ops} == {"/device:GPU:0"}
    ops = by_name(trace)
    conv = ops["net/conv/Conv2D"]
    assert (conv.calls, conv.self_ns, conv.op_type) == (2, 50_000, "Conv2D")
    copy = ops["IteratorGetNext/_1"]
    assert (copy.op_type, copy.self_ns) == ("MemcpyH2D", 7_000)
    assert ops["unknown_kernel"].self_ns == 5_000


def test_each_device_plane_is_kept_apart_and_empty_ones_are_reported(converter, tmp_path: Path):
    planes = [
        host(),
        Plane("/device:GPU:0", GPU_STREAMS),
        Plane("/device:GPU:1"),
        Plane("/device:GPU:2", GPU_STREAMS),
    ]
    trace = convert(converter, tmp_path, planes)
    assert trace.total_ns == 2 * 62_000
    assert trace.busy_ns == 2 * 62_000
    assert {item.device for item in trace.ops} == {"/device:GPU:0", "/device:GPU:2"}
    assert "device plane /device:GPU:1 is empty" in trace.warnings


PROGRAM = hlo_proto(
    "cluster.5",
    {
        "fused": [
            Op("p", "parameter", elements=100),
            Op("m", "multiply", "net/norm/mul", "Mul", 100, ["p", "p"]),
            Op("e", "exponential", "net/act/Exp", "Exp", 300, ["m"]),
        ],
        "main": [
            Op("x", "parameter", elements=100),
            Op("loop_fusion", "fusion", elements=100, operands=["x"], calls="fused"),
            Op("convolution.3", "convolution", "net/conv/Conv2D", "Conv2D", 64, ["loop_fusion"]),
        ],
    },
)


def xla_kernel(hlo_op: str, start_us: float, duration_us: float) -> Event:
    stats = {"hlo_op": hlo_op, "hlo_module": "cluster.5", "program_id": 42}
    return kernel(hlo_op.replace(".", "_"), start_us, duration_us, **stats)


def test_xla_kernels_are_resolved_through_the_program_in_the_profile(converter, tmp_path: Path):
    stream = Line(3, "Stream #3", [xla_kernel("loop_fusion", 100, 40),
                                   xla_kernel("convolution.3", 140, 60)])  # fmt: skip
    planes = [
        host(),
        Plane("/device:GPU:0", [stream]),
        Plane("/host:metadata", programs={"cluster.5(42)": PROGRAM}),
    ]
    trace = convert(converter, tmp_path, planes)
    ops = {item.hlo_op: item for item in trace.ops}
    assert trace.total_ns == 100_000
    assert [(share.op_name, share.weight) for share in ops["loop_fusion"].shares] == [
        ("net/norm/mul", 100),
        ("net/act/Exp", 300),
    ]
    assert [share.op_name for share in ops["convolution.3"].shares] == ["net/conv/Conv2D"]


def xla_on_cpu() -> Plane:
    stats = {"hlo_op": "dot.1", "hlo_module": "step.7", "program_id": 9}
    return Plane(
        "/host:CPU",
        [
            Line(
                1,
                "python",
                [
                    *steps(2),
                    Event("__inference_step_3:__inference_step_3", 20, 900, {"is_eager": 0}),
                    Event("CpuExecutable::ExecuteAsyncOnStream", 30, 800),
                    Event("ThunkExecutor::Execute", 40, 700),
                ],
            ),
            Line(
                5,
                "tf_numa_-1_Eigen/4",
                [
                    Event("ThunkExecutor::Execute", 50, 600),
                    Event("dot.1", 60, 200, stats),
                    Event("end: dot.1", 260, 1),
                    Event("dot.1", 1060, 100, stats),
                ],
            ),
        ],
    )


def test_xla_on_a_cpu_counts_instructions_and_not_the_launch(converter, tmp_path: Path):
    ops = [Op("a", "parameter"), Op("dot.1", "dot", "net/head/MatMul", operands=("a", "a"))]
    described = Plane("/host:metadata", programs={"step.7(9)": hlo_proto("step", {"main": ops})})
    trace = convert(converter, tmp_path, [xla_on_cpu(), described])
    (only,) = trace.ops
    assert (only.hlo_op, only.calls, only.self_ns) == ("dot.1", 2, 300_000)
    assert [share.op_name for share in only.shares] == ["net/head/MatMul"]
    assert trace.total_ns == 300_000
    assert trace.warnings == ()


def test_a_program_that_cannot_be_read_is_told_with_its_file(converter, tmp_path: Path):
    damaged = Plane("/host:metadata", programs={"step.7(9)": bytes([255] * 9)})
    with pytest.raises(TraceError, match=r"xplane\.pb: an HLO program .* profile again"):
        convert(converter, tmp_path, [xla_on_cpu(), damaged])


def test_a_program_that_nobody_describes_is_reported(converter, tmp_path: Path):
    trace = convert(converter, tmp_path, [xla_on_cpu()])
    assert trace.total_ns == 300_000
    assert trace.warnings == ("no HLO tells what the program step.7(9) computes",)


def test_eager_ops_have_types_and_say_that_they_are_eager(converter, tmp_path: Path):
    python = [
        *steps(1),
        Event("EagerLocalExecute: Conv2D", 100, 300),
        Event("EagerLocalExecute: __inference_f_12", 500, 400),
        Event("EagerLocalExecute: MatMul", 550, 100),
    ]
    trace = convert(converter, tmp_path, [Plane("/host:CPU", [Line(1, "python", python)])])
    assert trace.eager
    assert {item.op_type: item.self_ns for item in trace.ops} == {
        "Conv2D": 300_000,
        "MatMul": 100_000,
    }
    assert "eagerly" in trace.warnings[0]


def test_ops_outside_of_every_scope_are_not_taken_for_eager_ones(converter, tmp_path: Path):
    """GIVEN a step that spends its time in Python THEN it is a compiled function all the same."""
    thread = Line(7, "tf_Compute/1", [op("PyFunc:PyFunc", 100, 700), op("net/a/Relu:Relu", 850, 9)])
    python = Event("EagerLocalExecute: __inference_step_3", 50, 900)
    trace = convert(converter, tmp_path, [host(thread, Line(2, "python", [python]))])
    assert not trace.eager
    assert trace.warnings == ()
    assert by_name(trace)["PyFunc"].self_ns == 700_000


def test_a_trace_without_steps_is_refused_unless_it_is_foreign(converter, tmp_path: Path):
    plane = Plane("/host:CPU", [Line(7, "tf_Compute/1", [op("net/a/Relu:Relu", 100, 300)])])
    with pytest.raises(TraceError, match="no training steps"):
        convert(converter, tmp_path, [plane])
    trace = convert(converter, tmp_path, [plane], require_steps=False)
    assert (trace.steps, trace.total_ns) == (1, 300_000)


def test_a_trace_with_nothing_left_is_refused(converter, tmp_path: Path):
    planes = [host(), Plane("/device:GPU:0"), Plane("/device:GPU:1")]
    with pytest.raises(TraceError, match=r"vm\.xplane\.pb: the trace has no op events"):
        convert(converter, tmp_path, planes)


DISPATCH = Line(7, "tf_Compute/1", [op("net/conv/Conv2D:Conv2D", 90, 500)])


@pytest.mark.parametrize(
    "device",
    [
        pytest.param(Plane("/device:GPU:0"), id="no line"),
        pytest.param(Plane("/device:GPU:0", [Line(13, "Stream #13(Compute)", [])]), id="no event"),
        pytest.param(Plane("/device:GPU:0", GPU_STREAMS[2:]), id="derived lines only"),
    ],
)
def test_what_a_host_dispatches_is_not_taken_for_what_an_empty_device_did(
    converter, tmp_path: Path, device: Plane
):
    with pytest.raises(TraceError, match=r"no kernel in it.*CUPTI.*frostline doctor"):
        convert(converter, tmp_path, [host(DISPATCH), device])


def test_what_the_profiler_complains_of_is_passed_on(converter, tmp_path: Path):
    """Fields 2 and 3 of an XSpace: errors, and warnings such as the number of dropped events."""
    path = write_xspace(tmp_path / "vm.xplane.pb", [host(DISPATCH)])
    path.write_bytes(path.read_bytes() + encode((3, "1 activity events dropped")))
    assert converter.convert(path, deadline_s=60).warnings == ("1 activity events dropped",)
    empty = write_xspace(tmp_path / "empty.xplane.pb", [host(DISPATCH), Plane("/device:GPU:0")])
    empty.write_bytes(empty.read_bytes() + encode((2, "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES")))
    with pytest.raises(TraceError, match="The profiler says: CUPTI_ERROR_INSUFFICIENT_PRIVILEGES"):
        converter.convert(empty, deadline_s=60)
