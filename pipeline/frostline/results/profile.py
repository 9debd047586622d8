"""From a measured trial's files to its graph, its trace and what its ops cost.

Runs while the measuring process waits. A trace that cannot be used leaves the timing valid: the
pass columns are null, and the reason is stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from frostline.attribute.attribute import attribute
from frostline.attribute.costs import OpCost, check_conserved, per_step
from frostline.attribute.frozen import check_frozen
from frostline.attribute.step_graph import StepGraph
from frostline.device_id import is_cpu
from frostline.errors import TraceError
from frostline.measure.messages import Measured
from frostline.memory.allocated import with_allocations
from frostline.results.rows import Failure
from frostline.store.trial_row import RUNS_EAGERLY
from frostline.trace.converter import TraceConverter
from frostline.trace.ops import Trace, in_training_steps
from frostline.trial import Trial


class Converter(Protocol):
    """The part of `frostline.trace.converter.TraceConverter` that is used here."""

    def convert(self, xplane: Path, *, deadline_s: float) -> Trace:
        """Read a trace; `TraceError` when it cannot be used."""


Converters = Callable[[Path], AbstractContextManager[Converter]]
"""Makes a converter, given a folder for its temporary files."""


def new_converter(scratch: Path) -> TraceConverter:
    """The real one; its process starts with the first trace."""
    return TraceConverter(scratch=scratch)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialProfile:
    """What is known of where a trial's time goes.

    Attributes:
        graph: the traced step; None when it could not be analysed.
        trace, costs: None and empty without a usable trace.
        failure: why there is no usable trace; None also when no trace was asked for.
        seconds: time that conversion and attribution took.
    """

    graph: StepGraph | None
    trace: Trace | None
    costs: tuple[OpCost, ...]
    failure: Failure | None
    seconds: float


def read_profile(
    measured: Measured,
    converter: Callable[[], Converter],
    *,
    trial: Trial,
    device_id: str,
    deadline_s: float,
) -> TrialProfile:
    """Convert and attribute a trial's trace, within `deadline_s` seconds for the conversion.

    `converter` gives a running converter and is called only when there is a trace. The trial's
    frozen variables must not have cost anything, and the trace of an accelerator (`device_id` as in
    `Ready`) must have its ops.
    """
    started = time.monotonic()
    graph = StepGraph.load(Path(measured.graph_file)) if measured.graph_file else None
    trace: Trace | None = None
    costs: tuple[OpCost, ...] = ()
    failure: Failure | None = None
    if measured.trace_file is None:
        if measured.profile_error is not None:
            kind = RUNS_EAGERLY if measured.runs_eagerly else "NoTrace"
            failure = Failure(stage="profile", kind=kind, message=measured.profile_error)
    else:
        try:
            trace = converter().convert(Path(measured.trace_file), deadline_s=deadline_s)
            _check_device(trace, device_id, Path(measured.trace_file).name)
            trace = in_training_steps(trace, measured.steps_per_mark)
            costs = attribute(trace, graph)
            check_conserved(per_step(trace.total_ns, trace.steps), costs)
            check_frozen(
                costs,
                graph,
                frozen_variables=trial.frozen_variables,
                frozen_layers=trial.frozen_layers,
            )
        except TraceError as error:
            failure = Failure(stage="profile", kind=type(error).__name__, message=str(error))
            trace, costs = None, ()
    if graph is not None and trace is not None:
        graph = with_allocations(graph, trace.allocations)
    return TrialProfile(
        graph=graph,
        trace=trace,
        costs=costs,
        failure=failure,
        seconds=time.monotonic() - started,
    )


def _check_device(trace: Trace, device_id: str, name: str) -> None:
    """The host's ops of a step that ran on a GPU are dispatches: their times are not its costs."""
    if is_cpu(device_id) or any(op.device.startswith("/device:") for op in trace.ops):
        return
    raise TraceError(
        f"{name} holds no kernel of GPU {device_id}, only what the host did; reading kernels needs "
        "permission for the CUPTI counters: `frostline doctor` checks it and says how to get it"
    )
