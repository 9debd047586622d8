"""The tables: what is promised to other programs, their Arrow form, their page and its queries."""

from dataclasses import fields
from datetime import datetime
from inspect import signature
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from example_queries import QUERIES
from tables_page import PAGE, page

from frostline import open_sweep
from frostline.store.arrow import arrow_schema
from frostline.store.outdir import TrialTables
from frostline.store.schema import ROWS, SCHEMA_VERSION, TABLES
from frostline.store.trial_row import (
    AttemptColumns,
    DeviceColumns,
    HeldColumns,
    OutcomeColumns,
    PeakColumns,
    PlannedColumns,
    PredictedColumns,
    ProfileColumns,
    TimingColumns,
)

DATA = Path(__file__).parent / "data" / "sweep_v1"

# Columns that other programs rely on: never renamed, never removed.
PROMISED = {
    "trials": (
        "trial_id study model policy frozen_layers frozen_variables frozen_params total_params "
        "frozen_fraction earliest_trainable_layer batch_size optimizer precision jit_compile "
        "strategy is_control replicate status error_stage error_type error_message attempts pairs "
        "pairing stop_reason step_ns baseline_step_ns speedup speedup_low speedup_high noise_floor "
        "forward_ns activation_gradient_ns weight_gradient_ns optimizer_ns input_ns other_ns "
        "attributed_fraction profiler_overhead peak_memory_bytes energy_joules_per_step "
        "examples_per_second predicted_step_ns waiting_ns unobserved_ops weights_bytes "
        "gradients_bytes optimizer_slots_bytes activations_bytes workspace_bytes input_bytes "
        "allocator_slack_bytes host device_kind device_id trace_path started_at "
        "duration_s"
    ),
    "steps": "trial_id arm pair position warmup n_steps step_ns",
    "op_costs": (
        "trial_id layer pass op_type op_name device calls_per_step ns_per_step wait_ns_per_step "
        "rule"
    ),
    "layers": (
        "trial_id layer index kind params trainable mode forward_ns activation_gradient_ns "
        "weight_gradient_ns optimizer_ns forward_flops activation_bytes"
    ),
    "graph_ops": "trial_id op_name op_type layer pass needed_by inputs output_bytes",
    "program_ops": "trial_id op_name op_type graph_ops inputs output_bytes",
    "predictions": (
        "trial_id predictor is_anchor predicted_step_ns predicted_speedup measured_speedup "
        "predicted_peak_bytes measured_peak_bytes noise_floor"
    ),
}
NEWER = {"program_ops"}
"""Tables that the first version did not have."""


@pytest.mark.parametrize("table", TABLES)
def test_promised_columns_are_there(table: str) -> None:
    names = [column.name for column in TABLES[table]]
    assert set(PROMISED[table].split()) <= set(names)
    assert len(names) == len(set(names))
    assert names[0] == "trial_id"


@pytest.mark.parametrize("table", TABLES)
def test_every_column_says_what_it_means_and_in_which_unit(table: str) -> None:
    for column in TABLES[table]:
        assert column.doc.endswith((".", "…")), column
        for suffix, unit in (("_ns", "ns"), ("_s", "s"), ("_bytes", "B"), ("_flops", "FLOP")):
            if column.name.endswith(suffix):
                assert column.unit == unit, column


@pytest.mark.parametrize("table", TABLES)
def test_arrow_schema_carries_types_nullability_units_and_version(table: str) -> None:
    schema = arrow_schema(table)
    assert schema.metadata[b"frostline.schema_version"] == str(SCHEMA_VERSION).encode()
    for column in TABLES[table]:
        field = schema.field(column.name)
        assert field.nullable is not column.required
        assert field.metadata == {b"unit": column.unit.encode(), b"doc": column.doc.encode()}


def test_lists_and_times_have_their_arrow_types() -> None:
    schema = arrow_schema("trials")
    assert schema.field("frozen_layers").type == pa.list_(pa.string())
    assert schema.field("started_at").type == pa.timestamp("us", tz="UTC")
    assert schema.field("model").type == pa.string()


@pytest.mark.parametrize("table", TABLES)
def test_the_row_class_has_every_column_with_its_type(table: str) -> None:
    python = {
        "string": str, "int64": int, "float64": float, "bool": bool, "timestamp": datetime,
        "list<string>": tuple[str, ...], "list<int64>": tuple[int | None, ...],
        "list<struct<op: int64, output: int64>>": tuple[tuple[int, int], ...],
    }  # fmt: skip
    hints = get_type_hints(ROWS[table])
    for column in TABLES[table]:
        hint = hints.pop(f"{column.name}_" if column.name == "pass" else column.name)
        kinds = set(get_args(hint)) if get_origin(hint) in (Union, UnionType) else {hint}
        assert (NoneType in kinds) is not column.required, column
        (kind,) = kinds - {NoneType}
        assert (str if get_origin(kind) is Literal else kind) == python[column.type], column
    assert hints == {}


@pytest.mark.parametrize("table", TABLES)
def test_who_makes_a_row_says_what_stands_in_each_column(table: str) -> None:
    # A default would hide a forgotten column from the type checker.
    for given in signature(ROWS[table]).parameters.values():
        assert given.default is given.empty, given
        assert given.kind is given.KEYWORD_ONLY, given


@pytest.mark.parametrize("table", TABLES)
def test_columns_of_the_first_version_are_as_they_were(table: str) -> None:
    if table in NEWER:
        return
    path, *_ = sorted((DATA / "tables" / table).glob("*.parquet"))
    now = arrow_schema(table)
    for old in pq.read_schema(path):
        field = now.field(old.name)
        assert (field.type, field.nullable) == (old.type, old.nullable), old.name
        assert field.metadata[b"unit"] == old.metadata[b"unit"], old.name


def test_a_row_of_trials_is_its_parts_and_nothing_else() -> None:
    parts = [
        PlannedColumns, OutcomeColumns, TimingColumns, ProfileColumns, HeldColumns, PeakColumns,
        PredictedColumns, AttemptColumns, DeviceColumns,
    ]  # fmt: skip
    assert [column for part in parts for column in part.columns()] == list(TABLES["trials"])


def test_nothing_known_is_null_in_every_column_that_may_be() -> None:
    assert set(TimingColumns.nothing().values().values()) == {None}
    with pytest.raises(TypeError, match="status, warnings, attempts cannot be null"):
        OutcomeColumns.nothing()


def test_what_is_published_has_a_place_for_every_table() -> None:
    assert {field.name for field in fields(TrialTables)} == {"trial_id", *TABLES}


def test_the_page_on_the_tables_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python docs/tables_page.py"


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.title)
def test_worked_queries_run_on_a_sweep_and_on_its_plain_files(query) -> None:
    rows = open_sweep(str(DATA)).sql(query.sql).fetchall()
    assert rows
    plain = duckdb.connect()
    for table in (name for name in TABLES if name not in NEWER):
        only = "" if table == "trials" else "SEMI JOIN trials USING (trial_id)"
        plain.execute(
            f"CREATE VIEW {table} AS FROM "
            f"read_parquet('{DATA}/tables/{table}/*.parquet', union_by_name = true) {only}"
        )
    assert plain.sql(query.sql).fetchall() == rows


def test_worked_queries_give_what_their_titles_say() -> None:
    sweep = open_sweep(str(DATA))
    faster, layers, vanished, samples, predictors = (
        sweep.sql(query.sql).fetchall() for query in QUERIES
    )
    assert faster[0][1] == "all_but_head"
    assert all(policy != "none" for _, policy, *_ in faster)
    assert [row[2] for row in layers] == ["conv1", "conv2", "dense", "head"]
    assert ("weight_gradient", "Conv2DBackpropFilter", 2.8, 0.0) in vanished
    assert all(from_samples == stored for *_, from_samples, stored in samples)
    assert predictors[0][0] == "three_anchor"


def test_typed_rows_of_a_mapping_fill_lists_as_tuples() -> None:
    row = open_sweep(str(DATA)).trial_rows()[0]
    assert isinstance(row.frozen_layers, tuple)
    assert isinstance(row.started_at, datetime)
    assert row.started_at.tzinfo is not None
