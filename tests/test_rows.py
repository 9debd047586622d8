"""From what an attempt gave to the rows of the tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedule_kit import facts, trial
from store_kit import begin

from frostline.attribute.costs import OpCost, apportion, per_step
from frostline.attribute.step_graph import PASSES, GraphOp, StepGraph
from frostline.errors import ConservationError
from frostline.measure.messages import HeldBytes, Measured, Sample
from frostline.results.rows import Failure, TrialRun, noise_of, tables_of
from frostline.store.arrow import TableDefectError, to_table
from frostline.store.outdir import OutDir
from frostline.store.schema import ROWS, TABLES
from frostline.store.sweep import open_sweep
from frostline.trace.ops import StepAllocation, Trace

GRAPH = StepGraph(
    variables=("net/a/kernel", "net/b/kernel"),
    trained=("net/b/kernel",),
    ops=(
        GraphOp(op_name="a", op_type="MatMul", layer="net/a", pass_="forward", forward_flops=100),
        GraphOp(
            op_name="grad/b",
            op_type="MatMul",
            layer="net/b",
            pass_="weight_gradient",
            needed_by=(1,),
        ),
    ),
)


def measured(**changes: object) -> Measured:
    values: dict[str, object] = {
        "samples": tuple(
            Sample(arm=arm, pair=pair, position=0, warmup=pair < 0, n_steps=4, step_ns=1000)
            for pair in (-1, 0, 1, 2)
            for arm in ("baseline", "trial")
        ),
        "pairing": "interleaved",
        "stop_reason": "target_ci",
        "speedup": 1.5,
        "speedup_low": 1.4,
        "speedup_high": 1.62,
        "step_ns": 2_000_000,
        "baseline_step_ns": 3_000_000,
        "profiled_step_ns": 2_500_000,
        "trace_file": "/scratch/host.xplane.pb",
        "profile_error": None,
        "graph_file": None,
        "warnings": ("net/b/bias did not move",),
        "peak_memory_bytes": 123,
        "energy_joules_per_step": None,
        "seconds": {"build": 1.0, "trace": 2.0, "step": 3.0, "check": 0.5, "profile": 0.25},
        "rss_bytes": 7,
        "examples_per_step": 8.0,
    }
    return Measured(**(values | changes))  # type: ignore[arg-type]


def cost(layer: str | None, pass_: str, ns: int) -> OpCost:
    return OpCost(
        layer=layer, pass_=pass_, op_type="MatMul", op_name=f"{layer}/{pass_}",  # type: ignore[arg-type]
        device="/host:CPU", calls_per_step=1.0, ns_per_step=ns, rule="graph",
    )  # fmt: skip


def trace(total_ns: int, steps: int) -> Trace:
    return Trace(
        ops=(), steps=steps, total_ns=total_ns, busy_ns=total_ns, between_ns=0, device_ns=total_ns,
        eager=False, warnings=("a hole",),
    )  # fmt: skip


def run(**changes: object) -> TrialRun:
    values: dict[str, object] = {
        "trial": trial("prefix:1"),
        "facts": facts(),
        "attempts": 2,
        "started_at": datetime(2026, 1, 2, tzinfo=UTC),
        "duration_s": 9.0,
    }
    return TrialRun(**(values | changes))  # type: ignore[arg-type]


def rows_of(result: TrialRun, table: str) -> list[dict]:
    """The rows as a reader finds them; what does not fit the schema is refused on the way."""
    return to_table(table, getattr(tables_of(result), table)).to_pylist()


def full(costs: tuple[OpCost, ...], steps: int = 2) -> TrialRun:
    total_ns = sum(one.ns_per_step for one in costs) * steps
    return run(measured=measured(), graph=GRAPH, trace=trace(total_ns, steps), costs=costs)


def test_a_measured_trial_fills_every_table() -> None:
    costs = (
        cost("net/a", "forward", 300),
        cost("net/b", "forward", 200),
        cost("net/b", "weight_gradient", 400),
        cost(None, "optimizer", 50),
        cost(None, "other", 50),
    )
    result = full(costs)
    (row,) = rows_of(result, "trials")

    assert (row["status"], row["attempts"], row["pairs"]) == ("ok", 2, 3)
    assert (row["forward_ns"], row["weight_gradient_ns"], row["other_ns"]) == (500, 400, 50)
    assert row["activation_gradient_ns"] == 0
    assert row["attributed_fraction"] == pytest.approx(0.95)
    assert row["profiler_overhead"] == 1.25
    assert row["examples_per_second"] == 4000
    assert row["warnings"] == ["net/b/bias did not move", "a hole"]
    assert (row["compile_s"], row["stepping_s"]) == (2.0, 3.0)
    assert len(rows_of(result, "steps")) == 8
    assert sum(one["ns_per_step"] for one in rows_of(result, "op_costs")) == 1000
    assert rows_of(result, "graph_ops")[1]["needed_by"] == ["net/b/kernel"]
    first, second = rows_of(result, "layers")
    assert (first["layer"], first["mode"], first["trainable"]) == ("net/a", "pruned", False)
    assert (first["forward_ns"], first["weight_gradient_ns"]) == (300, 0)
    assert (second["mode"], second["weight_gradient_ns"]) == ("trainable", 400)
    assert first["forward_flops"] == 100  # the graph's, traced with the trial's own batch size
    assert second["forward_flops"] is None
    assert rows_of(result, "predictions") == []


def test_what_is_stored_is_read_back_as_the_same_rows(tmp_path: Path) -> None:
    tables = tables_of(full((cost("net/a", "forward", 300), cost("net/b", "weight_gradient", 4))))
    out = OutDir.open(str(tmp_path / "out"), create=True)
    begin(out)
    out.publish(tables)
    sweep = open_sweep(out.address)

    assert sweep.trial_rows() == tables.trials
    for name, row in ROWS.items():
        assert sweep.rows(row) == list(getattr(tables, name)), name


def test_a_row_of_another_table_is_refused() -> None:
    tables = tables_of(full((cost("net/a", "forward", 300),)))
    with pytest.raises(TableDefectError, match="table steps: a LayerRow is no row of it"):
        to_table("steps", tables.layers)


def test_updates_that_no_layer_owns_are_null_by_layer_not_zero() -> None:
    flat = full((cost("net/a", "forward", 1), cost(None, "optimizer", 2)))
    owned = full((cost("net/a", "optimizer", 1), cost(None, "optimizer", 2)))

    assert [row["optimizer_ns"] for row in rows_of(flat, "layers")] == [None, None]
    assert [row["optimizer_ns"] for row in rows_of(owned, "layers")] == [1, 0]


@given(
    totals=st.lists(
        st.tuples(
            st.sampled_from(("net/a", "net/b", None)),
            st.sampled_from(PASSES),
            st.integers(0, 10**9),
        ),
        max_size=30,
    ),
    steps=st.integers(1, 7),
)
def test_the_pass_columns_add_up_to_the_traces_time_per_step(
    totals: list[tuple[str | None, str, int]], steps: int
) -> None:
    total_ns = sum(ns for _, _, ns in totals)
    shares = apportion(per_step(total_ns, steps), [ns for _, _, ns in totals]) if totals else []
    costs = tuple(
        cost(layer, pass_, ns) for (layer, pass_, _), ns in zip(totals, shares, strict=True)
    )
    result = run(measured=measured(), trace=trace(total_ns, steps), costs=costs)
    (row,) = rows_of(result, "trials")

    assert sum(row[f"{name}_ns"] for name in PASSES) == per_step(total_ns, steps)


def test_costs_that_do_not_add_up_are_refused() -> None:
    result = run(measured=measured(), trace=trace(1000, 1), costs=(cost("net/a", "forward", 999),))
    with pytest.raises(ConservationError):
        tables_of(result)


def test_a_trial_without_a_trace_is_ok_with_its_passes_null() -> None:
    failure = Failure(stage="profile", kind="NoTrace", message="CUPTI denied")
    result = run(measured=measured(), graph=GRAPH, failure=failure)
    (row,) = rows_of(result, "trials")

    assert (row["status"], row["error_stage"]) == ("ok", "profile")
    assert all(row[f"{name}_ns"] is None for name in PASSES)
    assert row["attributed_fraction"] is None
    assert [one["forward_ns"] for one in rows_of(result, "layers")] == [None, None]
    assert rows_of(result, "op_costs") == []


def test_examples_are_counted_from_the_batches_that_ran() -> None:
    for examples, per_second in ((10 / 3, 10 / 3 / 2e-3), (None, None)):
        (row,) = rows_of(run(measured=measured(examples_per_step=examples)), "trials")
        assert row["examples_per_second"] == per_second


def test_a_failed_trial_has_one_row_that_says_why() -> None:
    failure = Failure(stage="check", kind="FreezeCheck", message="net/a moved")
    result = run(failure=failure)
    (row,) = rows_of(result, "trials")

    assert (row["status"], row["error_type"]) == ("failed", "FreezeCheck")
    assert row["frozen_layers"] == ["net/a"]
    assert row["speedup"] is None
    assert not any(rows_of(result, table) for table in TABLES if table != "trials")


def test_a_trial_that_ran_out_of_memory_says_what_it_was_expected_to_need() -> None:
    failure = Failure(stage="measure", kind="OutOfMemory", message="80 GB hold no such model")
    known = replace(facts(), step_bytes=10**9)
    (row,) = rows_of(run(failure=failure, facts=known), "trials")
    assert row["error_message"] == (
        "80 GB hold no such model. With all layers training the model is expected to need about "
        "1.0 GB"
    )
    (row,) = rows_of(run(failure=failure), "trials")
    assert row["error_message"] == "80 GB hold no such model", "nothing is known"


def test_memory_is_the_device_s_account_or_the_profile_s() -> None:
    held = HeldBytes(weights=1000, optimizer_slots=2000, batch=30)
    own = StepAllocation(requested_bytes=500, allocated_bytes=640)
    on_gpu = run(
        measured=measured(held=held), trace=replace(trace(1000, 2), allocation=own), costs=()
    )
    (row,) = rows_of(replace(on_gpu, costs=(cost(None, "other", 500),)), "trials")
    assert (row["peak_memory_bytes"], row["peak_memory_source"]) == (123, "allocator")
    assert row["allocator_slack_bytes"] == 140
    on_cpu = replace(on_gpu, measured=measured(held=held, peak_memory_bytes=None))
    (row,) = rows_of(replace(on_cpu, costs=(cost(None, "other", 500),)), "trials")
    assert (row["peak_memory_bytes"], row["peak_memory_source"]) == (3530, "profile")
    untraced = replace(on_cpu, trace=None)
    (row,) = rows_of(untraced, "trials")
    assert (row["peak_memory_bytes"], row["peak_memory_source"]) == (None, None)
    assert (row["weights_bytes"], row["input_bytes"]) == (1000, 30)


def test_a_model_that_could_not_be_built_claims_no_parameters() -> None:
    failure = Failure(stage="build", kind="ValueError", message="no weights there")
    (row,) = rows_of(run(facts=None, failure=failure), "trials")

    assert row["total_params"] is None
    assert row["frozen_fraction"] is None


def test_flops_of_another_batch_size_are_not_passed_off_as_the_trials() -> None:
    same = run(measured=measured())
    other_setting = run(
        measured=measured(), trial=trial("p", setting=type(trial("p").setting)(
            batch_size=16, optimizer=None, precision="float32", jit_compile="auto",
            strategy="single",
        )),
    )  # fmt: skip

    assert [row["forward_flops"] for row in rows_of(same, "layers")] == [1000, 1000]
    assert [row["forward_flops"] for row in rows_of(other_setting, "layers")] == [None, None]


@pytest.mark.parametrize(
    ("speedup", "low", "high", "noise"), [(1.0, 0.97, 1.03, 0.03), (0.9, 0.89, 0.91, 0.1)]
)
def test_noise_is_the_larger_of_offset_and_half_width(
    speedup: float, low: float, high: float, noise: float
) -> None:
    control = measured(speedup=speedup, speedup_low=low, speedup_high=high)
    assert noise_of(control) == pytest.approx(noise)
