"""What a profile's allocations tell of tensors whose size the graph leaves open."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from frostline.attribute.step_graph import GraphOp, Pass, StepGraph
from frostline.memory.allocated import with_allocations
from frostline.trace.allocations import op_allocations, step_allocation
from frostline.trace.ops import OpAllocation

Sizes = tuple[int | None, ...]


def op(name: str, sizes: Sizes, *reads: tuple[int, int], pass_: Pass = "forward") -> GraphOp:
    return GraphOp(
        op_name=name, op_type="CudnnRNNV3", layer="net/rnn", pass_=pass_, inputs=reads,
        output_bytes=sizes,
    )  # fmt: skip


def completed(sizes: Sizes, allocated: tuple[int, ...], *readers: GraphOp) -> Sizes | None:
    """The sizes of an op's outputs once its allocations are known."""
    graph = StepGraph(variables=(), trained=(), ops=(op("rnn", sizes), *readers))
    own = OpAllocation(op_name="rnn", tensor_bytes=allocated, temporary_bytes=9)
    first = with_allocations(graph, [own]).ops[0]
    assert first.temporary_bytes == 9
    return first.output_bytes


def test_an_open_output_has_what_is_allocated_beside_the_others() -> None:
    assert completed((4000, None), (4096, 700)) == (4000, 700)
    assert completed((4000, None), (700, 4096)) == (4000, 700)
    assert completed((None, 8, None), (30_000, 256, 500)) == (30_000, 8, 500)
    assert completed((4000, 8), (4096, 700)) == (4000, 8), "nothing is open"


def test_outputs_stay_open_where_it_is_not_clear_which_of_them_was_allocated() -> None:
    one_reads = op("gradient", (1,), (0, 1), pass_="activation_gradient")
    assert completed((4000, None, None), (4096, 700), one_reads) == (4000, None, None)
    assert completed((4000, None), (4096, 700, 800)) == (4000, None)
    assert completed((4000, None), (4096,)) == (4000, None)


def test_it_does_not_matter_which_where_the_same_ops_read_them() -> None:
    gradient = op("gradient", (1,), (0, 1), (0, 2), pass_="activation_gradient")
    unread = op("zeros_like", (1,), (0, 1), pass_="other")
    assert completed((4000, None, None), (4096, 700), gradient, unread) == (4000, 700, None)


def test_an_op_of_another_name_and_a_step_without_tensors_stay_as_they_are() -> None:
    own = OpAllocation(op_name="rnn", tensor_bytes=(700,), temporary_bytes=9)
    other = StepGraph(variables=(), trained=(), ops=(op("other", (None,)),))
    assert with_allocations(other, [own]) == other
    bare = GraphOp(op_name="rnn", op_type="CudnnRNNV3", layer=None, pass_="forward")
    untraced = StepGraph(variables=(), trained=(), ops=(bare,))
    assert with_allocations(untraced, [own]) == untraced


def test_inlined_calls_are_found_by_the_op_s_own_name() -> None:
    own = OpAllocation(
        op_name="StatefulPartitionedCall/rnn", tensor_bytes=(700,), temporary_bytes=0
    )
    graph = StepGraph(variables=(), trained=(), ops=(op("rnn", (None,)),))
    assert with_allocations(graph, [own]).ops[0].output_bytes == (700,)


@pytest.fixture
def profile(tmp_path: Path) -> str:
    """Two steps of an op that makes a tensor and works in two blocks, one after the other."""
    made = "MemoryAllocation", "MemoryDeallocation"
    events: list[tuple[int, str, str, str]] = []

    def event(step: int, is_made: bool, address: int, n_bytes: int, op: str, region: str) -> None:
        args = f"allocator_name=GPU_0_bfc,requested_bytes={n_bytes},allocation_bytes={2 * n_bytes}"
        args += f",addr={address}" + (f",tf_op={op},region_type={region}" if is_made else "")
        events.append((len(events), made[not is_made], args, f"train {step}"))

    for step in (0, 1):
        event(step, True, 1, 1000, "rnn", "output")
        for n_bytes in (300, 500):
            event(step, True, 2, n_bytes, "rnn", "temp")
            event(step, False, 2, n_bytes, "", "")
        event(step, False, 1, 1000, "", "")
    path = str(tmp_path / "events.parquet")
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE e "
            "(start_ns BIGINT, kernel_name VARCHAR, trace_args VARCHAR, step VARCHAR)"
        )
        connection.executemany("INSERT INTO e VALUES (?, ?, ?, ?)", events)
        connection.execute(f"COPY e TO '{path}' (FORMAT parquet)")
    return path


def test_what_an_op_allocates_in_a_step(profile: str) -> None:
    with duckdb.connect() as connection:
        where = {"parquet": profile}
        whole = step_allocation(connection, where)
        assert whole is not None
        assert (whole.requested_bytes, whole.allocated_bytes) == (1500, 3000)
        assert op_allocations(connection, where, whole.allocator) == (
            OpAllocation(op_name="rnn", tensor_bytes=(1000,), temporary_bytes=500),
        )
