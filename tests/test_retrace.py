"""Steps that are traced again: what is refused, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from recommend_kit import chain, facts_of, publish

from frostline.analyse.stored_model import refuse_unknown_ops
from frostline.attribute.step_graph import GraphOp, StepGraph
from frostline.errors import DamagedError, UsageError
from frostline.results.detail_rows import graph_op_rows
from frostline.sweep.reattribute import reattribute
from frostline.sweep.retrace import difference

GRAPH = StepGraph(
    variables=("a/kernel",),
    trained=("a/kernel",),
    ops=(
        GraphOp(
            op_name="a/Conv2D", op_type="Conv2D", layer="a", pass_="forward", inputs=(),
            output_bytes=(400,),
        ),
        GraphOp(
            op_name="a/grad", op_type="Conv2DBackpropFilter", layer="a", pass_="weight_gradient",
            needed_by=(0,), inputs=((0, 0),), output_bytes=(40,),
        ),
    ),
)  # fmt: skip


def test_the_same_step_is_no_difference() -> None:
    assert difference(graph_op_rows("t", GRAPH, tensors=False), GRAPH) is None


def test_another_op_is_named_with_its_number() -> None:
    stored = graph_op_rows("t", GRAPH, tensors=False)
    changed = [stored[0], replace(stored[1], op_type="MatMul")]
    assert difference(changed, GRAPH) == (
        "op 2 of its step is a/grad (Conv2DBackpropFilter) now, and was a/grad (MatMul) when it "
        "was measured"
    )


def test_more_or_fewer_ops_are_counted() -> None:
    stored = graph_op_rows("t", GRAPH, tensors=False)
    assert difference(stored[:1], GRAPH) == "its step has 2 ops now, and was measured with 1"
    assert "was not kept" in str(difference([], GRAPH))


def test_a_builder_that_only_an_out_names_is_not_run(tmp_path: Path) -> None:
    out = publish(tmp_path / "out", facts_of(chain(3), [[10]] * 3))
    with pytest.raises(UsageError, match="--trust-study"):
        reattribute(out, retrace=True)


@pytest.mark.parametrize("read", [(7, 0), (-1, 0), (0, -1)])
def test_an_op_that_reads_what_none_makes_is_a_damaged_table(read: tuple[int, int]) -> None:
    with pytest.raises(
        DamagedError, match=r"OUT/tables/graph_ops/t.parquet is damaged: row 1 reads"
    ):
        refuse_unknown_ops([(), (read,)], "OUT/tables/graph_ops/t.parquet")
