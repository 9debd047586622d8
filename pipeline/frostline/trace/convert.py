"""One XSpace file to one `Trace`; runs in a process without TensorFlow.

In: a `.xplane.pb`. Out: `Trace`. Refuses (`TraceError`) to run beside TensorFlow, what is no
XSpace, what has no op events or steps, and a trace of an accelerator that holds the host's ops
alone.

xprof's native export does the parsing; DuckDB sums; the HLO tells what XLA's instructions compute.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from xprof.convert.events_db.python import pywrap_events_db_c_api as events_db

from frostline.errors import TraceError
from frostline.trace.events import Aggregate, aggregate_events
from frostline.trace.hlo import op_shares
from frostline.trace.ops import OpShare, ProgramMemory, Trace
from frostline.trace.program import program_memory
from frostline.trace.xspace import SpaceFacts, parse_hlo_proto, read_space

Shares = dict[str, tuple[OpShare, ...]]


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
        events_db.xspace_to_parquet(input_path=xplane, output_path=parquet)
    except RuntimeError as error:
        raise TraceError(
            f"{xplane} is no XSpace, or is damaged inside; profile again (xprof says: {error})"
        ) from error
    try:
        aggregate = aggregate_events(parquet, require_steps=require_steps)
    except TraceError as error:
        raise TraceError(f"{xplane}: {error}{_said(space)}") from error
    if space.has_accelerator and not any(
        group.op.device.startswith("/device:") for group in aggregate.groups
    ):
        devices = ", ".join(space.empty_devices) or "an accelerator"
        raise TraceError(
            f"{xplane} has a plane for {devices} and no kernel in it: what the "
            "host did meanwhile is no cost of the device. Reading kernels needs permission for the "
            f"CUPTI counters: `frostline doctor` says how to get it{_said(space)}"
        )
    shares, undescribed = _program_shares(aggregate, space)
    ops = tuple(
        replace(group.op, shares=shares.get(group.hlo_module, {}).get(group.op.hlo_op, ()))
        for group in aggregate.groups
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
        program=_program_memory(aggregate, space),
        allocation=aggregate.allocation,
    )


def _said(space: SpaceFacts) -> str:
    return f". The profiler says: {'; '.join(space.complaints)}" if space.complaints else ""


def _program_memory(aggregate: Aggregate, space: SpaceFacts) -> ProgramMemory | None:
    """The memory of the program that took most of the time.

    A trace holds every program that its process has compiled, those of other trials included. So
    the program is the one whose id the events name; without an id, the last of its name.
    """
    spent: dict[str, int] = defaultdict(int)
    for group in aggregate.groups:
        if group.op.hlo_op:
            spent[group.hlo_module] += group.op.self_ns
    if not spent:
        return None
    module = max(spent, key=lambda name: spent[name])
    candidates = [
        serialised
        for name, serialised in space.programs.items()
        if module in (name, name.rpartition("(")[0])
    ]
    return program_memory(candidates[-1]) if candidates else None


def _program_shares(aggregate: Aggregate, space: SpaceFacts) -> tuple[dict[str, Shares], list[str]]:
    """What the instructions of each program seen in the events compute; and warnings.

    Programs are found by `<module>(<program id>)`. An export that leaves the id out may mean any
    program of that name; the one that contains most of the instructions is taken.
    """
    run: dict[str, set[str]] = defaultdict(set)
    for group in aggregate.groups:
        if group.op.hlo_op:
            run[group.hlo_module].add(group.op.hlo_op)
    found: dict[str, Shares] = {}
    warnings: list[str] = []
    for module, instructions in run.items():
        candidates = [
            op_shares(parse_hlo_proto(serialised))
            for name, serialised in space.programs.items()
            if module in (name, name.rpartition("(")[0])
        ]
        known = max(candidates, key=lambda shares: len(instructions & shares.keys()), default={})
        if not instructions & known.keys():
            warnings.append(f"no HLO tells what the program {module} computes")
        found[module] = known
    return found, warnings
