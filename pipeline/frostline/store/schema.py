"""The tables: one row class per table, each column with its type, unit and a line of documentation.

Arrow's schema and `docs/tables.md` are made from these classes. The class of `trials` is in
`frostline.store.trial_row`. Columns are only ever added; a change of meaning raises
`SCHEMA_VERSION`. Every time is in nanoseconds unless the name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from frostline.store.columns import Column, TableRow
from frostline.store.trial_row import TrialRow

SCHEMA_VERSION = 2
"""2: `op_costs.typical_ns_per_step` is the median step; in 1 it was calls x the median event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow(TableRow):
    """One row per raw sample: a block of steps that ends with a synchronisation."""

    trial_id: Annotated[str, "The trial."]
    arm: Annotated[str, "baseline or trial."]
    pair: Annotated[int, "Number of the pair; -1: warm-up before the first."]
    position: Annotated[int, "0: first of its pair, 1: second (2 in a sandwich)."]
    warmup: Annotated[bool, "The sample is not part of the estimate."]
    n_steps: Annotated[int, "Steps in the block."]
    step_ns: Annotated[int, "The block's wall time / n_steps.", "ns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpCostRow(TableRow):
    """One row per op of a trial's profile: layer, pass, time per step."""

    trial_id: Annotated[str, "The trial."]
    layer: Annotated[str | None, "Layer that created the op or whose op it differentiates."]
    pass_: Annotated[str, "The pass; see docs/method.md, Attribution."]
    op_type: Annotated[str, "TensorFlow op type, or HLO opcode."]
    op_name: Annotated[str, "Op name as profiled."]
    device: Annotated[str, "Plane of the trace."]
    calls_per_step: Annotated[float, "Events per step.", "1"]
    ns_per_step: Annotated[int, "Self time per step; sums exactly to the trial's total.", "ns"]
    rule: Annotated[str, "How it was attributed; docs/method.md lists the rules."]
    graph_op: Annotated[str | None, "Op of graph_ops that it was matched to, if any."]
    typical_ns_per_step: Annotated[
        int | None,
        "Median over the profiled steps of its self time in a step "
        "(schema version 1: calls per step x the median event).",
        "ns",
    ]
    wait_ns_per_step: Annotated[
        int | None,
        "Idle time of the device before its events, within steps; on CPUs without XLA its share "
        "of the dispatch. Null in schema version 1.",
        "ns",
    ]
    typical_wait_ns_per_step: Annotated[
        int | None, "Median over the profiled steps of its wait in a step.", "ns"
    ]
    short_calls_per_step: Annotated[
        float | None, "Events per step that last less than 5 microseconds.", "1"
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRow(TableRow):
    """One row per layer of a trial: its mode, and its time per pass."""

    trial_id: Annotated[str, "The trial."]
    layer: Annotated[str, "Ownership path of the layer."]
    index: Annotated[
        int, "Order of first use in the step's forward pass, from 0; policies count from 1."
    ]
    kind: Annotated[str, "Keras class."]
    params: Annotated[int, "Parameters trainable in the baseline.", "parameters"]
    trainable: Annotated[bool, "At least one of its variables still trains."]
    mode: Annotated[str, "trainable, pass_through or pruned."]
    forward_ns: Annotated[
        int | None,
        "Profiled op time per step; like the next three null without a trace, and where its ops "
        "ran and none left an event.",
        "ns",
    ]
    activation_gradient_ns: Annotated[int | None, "Profiled op time per step, dX.", "ns"]
    weight_gradient_ns: Annotated[int | None, "Profiled op time per step, dW.", "ns"]
    optimizer_ns: Annotated[
        int | None, "Profiled op time per step, update; null where not known by layer.", "ns"
    ]
    forward_wait_ns: Annotated[
        int | None, "Idle time of the device before its forward ops; see trials.", "ns"
    ]
    activation_gradient_wait_ns: Annotated[int | None, "Idle time before its dX ops.", "ns"]
    weight_gradient_wait_ns: Annotated[int | None, "Idle time before its dW ops.", "ns"]
    optimizer_wait_ns: Annotated[int | None, "Idle time before its updates.", "ns"]
    forward_flops: Annotated[
        int | None, "Forward FLOPs per step, where a count is registered.", "FLOP"
    ]
    activation_bytes: Annotated[
        int | None,
        "Outputs of its forward ops that ops of the backward pass of this trial read; null where "
        "they were not recorded.",
        "B",
    ]
    gradient_norm: Annotated[
        float | None,
        "Mean norm of the layer's gradient over some steps; first control only, where asked for.",
        "1",
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphOpRow(TableRow):
    """One row per op of the traced training function: enough to attribute and predict again."""

    trial_id: Annotated[str, "The trial."]
    op_name: Annotated[str, "Name in the traced training function."]
    op_type: Annotated[str, "TensorFlow op type."]
    layer: Annotated[str | None, "Layer that created it or whose op it differentiates."]
    pass_: Annotated[str, "Pass by the graph."]
    needed_by: Annotated[tuple[str, ...], "Variables whose gradient needs this op."]
    forward_flops: Annotated[
        int | None, "FLOPs of a forward op, where a count is registered.", "FLOP"
    ]
    inputs: Annotated[
        tuple[tuple[int, int], ...] | None,
        "What it reads: for each tensor the op that made it, as its number among the trial's rows "
        "in creation order, counted from 0, and which output of it. Null where it was not "
        "recorded: only anchors record it.",
    ]
    output_bytes: Annotated[
        tuple[int | None, ...] | None,
        "Bytes of each output; an open batch size is filled in, and what another open size came to "
        "where the profile shows it; null where it does not, and for trials that did not record "
        "it. Empty for an op that only calls functions.",
        "B",
    ]
    temporary_bytes: Annotated[
        int | None,
        "What the op works in while it runs, by the allocator's events; null where the profile of "
        "an anchor does not show it.",
        "B",
    ]
    repeats: Annotated[
        int | None,
        "Number among the trial's rows of the first op that computes the same from the same; null "
        "where no earlier one does. TensorFlow and XLA run one of them.",
    ]
    calls: Annotated[str | None, "Name of the function that a call calls; null for other ops."]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramOpRow(TableRow):
    """One row per instruction of an anchor's XLA program, in the order in which they run."""

    trial_id: Annotated[str, "The trial."]
    op_name: Annotated[str, "Name of the instruction in the entry computation."]
    op_type: Annotated[str, "HLO opcode."]
    graph_ops: Annotated[tuple[str, ...], "Ops of graph_ops of which it computes something."]
    inputs: Annotated[
        tuple[tuple[int, int], ...] | None,
        "What it reads: for each buffer the instruction that made it, as its number among the "
        "trial's rows, counted from 0, and which of its buffers.",
    ]
    output_bytes: Annotated[
        tuple[int | None, ...] | None,
        "Temporary bytes of each buffer that it makes; 0 for parts of parameters and results.",
        "B",
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRow(TableRow):
    """One row per predictor of a trial."""

    trial_id: Annotated[str, "The trial."]
    predictor: Annotated[str, "three_anchor, or a naive predictor's name."]
    is_anchor: Annotated[bool, "The configuration is an anchor: never evidence."]
    predicted_step_ns: Annotated[int | None, "baseline_step_ns / predicted_speedup.", "ns"]
    predicted_speedup: Annotated[float | None, "Predicted baseline / predicted configuration.", "1"]
    measured_speedup: Annotated[float | None, "As in trials.", "1"]
    noise_floor: Annotated[float | None, "As in trials.", "1"]
    predicted_peak_bytes: Annotated[
        int | None,
        "Predicted peak of the trial's device memory, with what the allocator adds where "
        "measured_peak_bytes has it; null where nothing can say it.",
        "B",
    ]
    measured_peak_bytes: Annotated[
        int | None,
        "What the prediction is judged by: trials.peak_memory_bytes, less "
        "trials.allocator_slack_bytes where that is known and the peak is the allocator's.",
        "B",
    ]


ROWS: Mapping[str, type[TableRow]] = {
    "trials": TrialRow,
    "steps": StepRow,
    "op_costs": OpCostRow,
    "layers": LayerRow,
    "graph_ops": GraphOpRow,
    "program_ops": ProgramOpRow,
    "predictions": PredictionRow,
}
"""The class of a table's rows."""

TABLE_OF: Mapping[type[TableRow], str] = {row: name for name, row in ROWS.items()}
"""The table of a row class."""

TABLES: Mapping[str, tuple[Column, ...]] = {name: row.columns() for name, row in ROWS.items()}
"""The columns of each table."""
