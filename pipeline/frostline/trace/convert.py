"""One XSpace file to one `Trace`; runs in a process without TensorFlow.

In: a `.xplane.pb`. Out: `Trace`. Refuses (`TraceError`) to run beside TensorFlow, what is no
XSpace, what has no op events or steps, and a trace of an accelerator that holds the host's ops
alone.

xprof's native export does the parsing; DuckDB sums; the HLO tells what XLA's instructions compute.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from xprof.convert.events_db.python import pywrap_events_db_c_api as events_db

from frostline.errors import TraceError
from frostline.trace.events import Aggregate, aggregate_events
from frostline.trace.hlo import op_shares
from frostline.trace.ops import OpShare, ProgramMemory, Trace
from frostline.trace.program import program_memory
from frostline.trace.xspace import SpaceFacts, parse_hlo_proto, read_space

_EXPORT = events_db.ParquetExportOptions(batch_size=10_000)
"""Of a million events, the default holds 125 MB more while it writes, and is no faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProgramRun:
    """An XLA program that the traced steps ran.

    Attributes:
        shares: what its instructions compute.
        serialised: its `HloProto`; None where the trace does not carry it.
        spent_ns: self time of its instructions.
    """

    shares: dict[str, tuple[OpShare, ...]]
    serialised: bytes | None
    spent_ns: int


def convert(xplane: Path, *, parquet: Path, require_steps: bool = True) -> Trace:
    """Convert a profile.

    Args:
        xplane: the profile.
        parquet: a place for the exported events; overwritten, and left behind.
        require_steps: refuse a profile without `train` steps; else it counts as one step.

    Raises:
        TraceError: see the module's docstring.
    """
    if "tensorflow" in sys.modules:
        raise TraceError("the export never ends in a process that imported TensorFlow")
    space = read_space(xplane)
    try:
        events_db.xspace_to_parquet(input_path=xplane, output_path=parquet, options=_EXPORT)
    except RuntimeError as error:
        raise TraceError(
            f"{xplane} is no XSpace, or is damaged inside; profile again (xprof says: {error})"
        ) from error
    try:
        aggregate = aggregate_events(parquet, require_steps=require_steps)
    except TraceError as error:
        raise TraceError(f"{xplane}: {error}{_said(space)}") from error
    if space.has_accelerator and not any(op.device.startswith("/device:") for op in aggregate.ops):
        devices = ", ".join(space.empty_devices) or "an accelerator"
        raise TraceError(
            f"{xplane} has a plane for {devices} and no kernel in it: what the "
            "host did meanwhile is no cost of the device. Reading kernels needs permission for the "
            f"CUPTI counters: `frostline doctor` says how to get it{_said(space)}"
        )
    try:
        programs = _programs_run(aggregate, space)
        memory = _program_memory(programs)
    except TraceError as error:
        raise TraceError(f"{xplane}: {error}; profile again") from error
    undescribed = [
        f"no HLO tells what the program {module} computes"
        for module, program in programs.items()
        if program.serialised is None
    ]
    ops = tuple(
        replace(op, shares=programs[op.program].shares.get(op.hlo_op, ()))
        if op.program in programs
        else op
        for op in aggregate.ops
    )
    empty = [f"device plane {name} is empty" for name in space.empty_devices]
    return Trace(
        ops=ops,
        steps=aggregate.steps,
        total_ns=sum(op.self_ns for op in ops),
        busy_ns=aggregate.busy_ns,
        between_ns=aggregate.between_ns,
        device_ns=aggregate.device_ns,
        eager=aggregate.eager,
        warnings=(*empty, *space.complaints, *aggregate.warnings, *undescribed),
        program=memory,
        allocation=aggregate.allocation,
        allocations=aggregate.allocations,
    )


def _said(space: SpaceFacts) -> str:
    return f". The profiler says: {'; '.join(space.complaints)}" if space.complaints else ""


def _programs_run(aggregate: Aggregate, space: SpaceFacts) -> dict[str, _ProgramRun]:
    """Each program seen in the events, by the name that they give it.

    A trace holds every program that its process has compiled, those of other trials included.
    Programs are found by `<module>(<program id>)`. An export that leaves the id out may mean any
    program of that name; the one that contains most of the instructions is taken.
    """
    instructions: dict[str, set[str]] = defaultdict(set)
    spent_ns: dict[str, int] = defaultdict(int)
    for op in aggregate.ops:
        if op.hlo_op:
            instructions[op.program].add(op.hlo_op)
            spent_ns[op.program] += op.self_ns
    found = {}
    for module, run in instructions.items():
        candidates = [
            (op_shares(parse_hlo_proto(serialised)), serialised)
            for name, serialised in space.programs.items()
            if module in (name, name.rpartition("(")[0])
        ]
        shares, serialised = max(
            candidates, key=lambda one: len(run & one[0].keys()), default=({}, b"")
        )
        found[module] = _ProgramRun(
            shares=shares,
            serialised=serialised if run & shares.keys() else None,
            spent_ns=spent_ns[module],
        )
    return found


def _program_memory(programs: Mapping[str, _ProgramRun]) -> ProgramMemory | None:
    """The memory of the program that took most of the time."""
    name = max(programs, key=lambda each: programs[each].spent_ns, default="")
    serialised = programs[name].serialised if name else None
    found = None if serialised is None else program_memory(serialised)
    return None if found is None else replace(found, program=name)
