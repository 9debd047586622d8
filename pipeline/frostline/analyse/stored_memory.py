"""Reads what the memory model of a model and setting needs from a sweep's tables.

In: the rows of a group, and `graph_ops` and `program_ops` of its anchors alone. Out: `MemoryModel`,
and what naive predictors say. Rows of other trials are not read, so they cannot change a
prediction.
"""

from __future__ import annotations

from collections.abc import Sequence

from frostline.analyse.stored_model import read_graph, refuse_unknown_ops
from frostline.errors import UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.memory.model import AnchorMemory, MemoryModel
from frostline.memory.program import ProgramStep
from frostline.store.schema import ProgramOpRow
from frostline.store.sweep import Sweep
from frostline.store.trial_row import TrialRow
from frostline.store.validate import place

NAIVE_PEAKS = ("trained_params", "params_and_slots", "baseline")
"""Naive predictors of the peak: in proportion to the trained parameters; weights, gradients and
slots alone; the baseline's."""


def memory_of(sweep: Sweep, rows: Sequence[TrialRow], facts: ModelFacts) -> MemoryModel | None:
    """The memory model of the measured trials of one model under one setting.

    None where the tensors of the baseline's step, or what models hold, were not recorded.
    """
    anchors: dict[frozenset[str], AnchorMemory] = {}
    program: list[ProgramStep] | None = None
    for row in sorted(rows, key=lambda row: (row.replicate, row.trial_id)):
        frozen = frozenset(row.frozen_variables)
        if not row.is_anchor or frozen in anchors:
            continue
        if row.weights_bytes is None or row.optimizer_slots_bytes is None:
            continue
        graph = read_graph(
            sweep, row.trial_id, facts, frozen=row.frozen_variables, tensors=not frozen
        )
        anchors[frozen] = AnchorMemory(
            frozen_variables=frozen,
            weights_bytes=row.weights_bytes,
            optimizer_slots_bytes=row.optimizer_slots_bytes,
            input_bytes=row.input_bytes,
            peak_bytes=row.peak_memory_bytes,
            slack_bytes=0
            if row.peak_memory_source == "profile"
            else row.allocator_slack_bytes or 0,
            graph=graph,
        )
        if not frozen:
            program = _program(sweep, row.trial_id)
    try:
        return MemoryModel(facts, list(anchors.values()), program=program)
    except UsageError:
        return None


def naive_peaks(memory: MemoryModel, row: TrialRow, baseline_bytes: int) -> dict[str, int]:
    """What each of `NAIVE_PEAKS` says of a configuration, in bytes."""
    held = memory.parameters_alone(row.frozen_variables)
    trained = 1 - (row.frozen_fraction or 0.0)
    return dict(
        zip(NAIVE_PEAKS, (round(baseline_bytes * trained), held, baseline_bytes), strict=True)
    )


def _program(sweep: Sweep, trial_id: str) -> list[ProgramStep] | None:
    rows = sweep.rows(ProgramOpRow, trials=[trial_id])
    refuse_unknown_ops(
        [row.inputs for row in rows], place(sweep.out.files, "program_ops", trial_id)
    )
    return [
        ProgramStep(
            name=row.op_name,
            op_type=row.op_type,
            graph_ops=row.graph_ops,
            inputs=row.inputs,
            output_bytes=row.output_bytes,
        )
        for row in rows
    ] or None
