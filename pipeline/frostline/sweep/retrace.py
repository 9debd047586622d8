"""Traces the steps of a sweep again, and fills in what it did not record: tensors and memory held.

In: a sweep, and its study. Out: `graph_ops.inputs` and `output_bytes` of its anchors,
`layers.activation_bytes`, and what the models hold, in the columns of `trials`. Models are built
and traced in a process of their own; no step is run. Trials of one configuration are traced once. A
trial whose step has other ops now than it was measured with is left as it is, and named. Call with
OUT's lock held.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from frostline.analyse.stored_model import load_facts
from frostline.attribute.step_graph import StepGraph
from frostline.errors import SweepError
from frostline.measure.backend import refuse_other_backends
from frostline.measure.client import DeadlineExceeded, MeasureProcess, ProcessDied
from frostline.measure.messages import Failed, Retraced, RetraceStep
from frostline.memory.activations import kept_activations
from frostline.plan.trials import as_measured
from frostline.results.detail_rows import graph_op_rows
from frostline.results.rows import held_columns
from frostline.scratch import scratch_folder
from frostline.store.schema import GraphOpRow, LayerRow
from frostline.store.sweep import Sweep
from frostline.store.trial_row import TrialRow
from frostline.study.study import Study
from frostline.trial import ModelSpec, Setting

Tell: TypeAlias = Callable[[str], None]


def retrace(
    sweep: Sweep, study: Study, *, tell: Tell, still_ours: Callable[[], None] = lambda: None
) -> Mapping[str, str]:
    """Trace every measured trial again and complete its rows; `tell` takes a line for each.

    `still_ours` raises when another driver has taken OUT over.

    Returns:
        Why trials were left as they are, by `trial_id`.

    Raises:
        StorageError: OUT cannot be read or written.
        UsageError: Keras is told to use another backend than TensorFlow.
    """
    refuse_other_backends()
    specs = {spec.name: spec for spec in study.model_specs()}
    left: dict[str, str] = {}
    with (
        scratch_folder(prefix="frostline-retrace-") as scratch,
        _Tracer(scratch, study) as tracer,
    ):
        for rows in _alike(sweep.trial_rows()):
            still_ours()
            try:
                reasons = _complete(sweep, rows, specs, tracer, study)
            except SweepError as error:
                reasons = {row.trial_id: str(error) for row in rows}
            left |= reasons
            for row in rows:
                said = reasons.get(row.trial_id)
                tell(f"{row.trial_id}: {f'left as it is, {said}' if said else 'traced again'}")
    return left


def _alike(rows: Iterable[TrialRow]) -> list[list[TrialRow]]:
    """Measured trials of the same step."""
    found: dict[object, list[TrialRow]] = defaultdict(list)
    for row in rows:
        if row.status == "ok":
            key = (row.model_key, row.setting, row.jit_resolved, row.frozen_variables)
            found[key].append(row)
    return list(found.values())


def _complete(
    sweep: Sweep,
    rows: list[TrialRow],
    specs: Mapping[str, ModelSpec],
    tracer: _Tracer,
    study: Study,
) -> dict[str, str]:
    """Trace the step of these trials and complete their rows; the reasons where it cannot be."""
    first = rows[0]
    name = first.model_key
    if name not in specs:
        return {row.trial_id: f"the study has no model `{name}`" for row in rows}
    facts = load_facts(sweep, name)
    setting = first.setting
    spec = as_measured(study, specs[name], setting, facts)
    if first.jit_resolved is not None:
        setting = replace(setting, jit_compile="true" if first.jit_resolved else "false")
    found = tracer.trace(spec, setting, first.frozen_variables)
    if isinstance(found, str):
        return {row.trial_id: found for row in rows}
    graph, retraced = found
    activations = kept_activations(graph)
    left: dict[str, str] = {}
    for row in rows:
        stored = sweep.rows(GraphOpRow, trials=[row.trial_id])
        if reason := difference(stored, graph):
            left[row.trial_id] = reason
            continue
        layers = [
            replace(
                one,
                activation_bytes=None if activations is None else activations.get(one.layer, 0),
            )
            for one in sweep.rows(LayerRow, trials=[row.trial_id])
        ]
        traced = graph_op_rows(row.trial_id, graph, tensors=row.is_anchor)
        sweep.out.amend(
            row.trial_id,
            tables={
                "graph_ops": [
                    replace(old, inputs=new.inputs, output_bytes=new.output_bytes)
                    for old, new in zip(stored, traced, strict=True)
                ],
                "layers": layers,
            },
            columns=held_columns(retraced.held).values(),
        )
    return left


def difference(stored: list[GraphOpRow], graph: StepGraph) -> str | None:
    """In what the step differs from the one that was measured; None where it is the same."""
    if not stored:
        return "its step was not kept, so that nothing can be compared with what is traced now"
    if len(stored) != len(graph.ops):
        return f"its step has {len(graph.ops)} ops now, and was measured with {len(stored)}"
    for number, (old, new) in enumerate(zip(stored, graph.ops, strict=True), start=1):
        if (old.op_name, old.op_type) != (new.op_name, new.op_type):
            return (
                f"op {number} of its step is {new.op_name} ({new.op_type}) now, and was "
                f"{old.op_name} ({old.op_type}) when it was measured"
            )
    return None


class _Tracer:
    """A process that traces steps; started when it is needed, and again after it died."""

    def __init__(self, scratch: Path, study: Study) -> None:
        self._scratch = scratch
        self._study = study
        self._process: MeasureProcess | None = None

    def __enter__(self) -> _Tracer:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._process is not None:
            self._process.close()

    def trace(
        self, spec: ModelSpec, setting: Setting, frozen: tuple[str, ...]
    ) -> tuple[StepGraph, Retraced] | str:
        """The step of a configuration and what its model holds; the reason where it fails."""
        log = self._scratch / "log"
        request = RetraceStep(
            model=spec,
            setting=setting,
            seed=self._study.seed,
            frozen_variables=frozen,
            graph_path=str(self._scratch / "graph.json"),
            log_path=str(log),
        )
        process = self._process or MeasureProcess(cores=(), gpu_ids="", log_path=log)
        self._process = None
        try:
            reply = process.reply_to(request, deadline_s=self._study.resources.trial_timeout_s)
        except (DeadlineExceeded, ProcessDied) as error:
            return f"its model cannot be built and traced: {error}"
        if isinstance(reply, Failed):
            if not reply.fatal:
                self._process = process
            return f"its model cannot be built and traced ({reply.stage}): {reply.message}"
        self._process = process
        if not isinstance(reply, Retraced):
            return f"the measuring process answered {reply.op!r}"
        return StepGraph.load(Path(request.graph_path)), reply
