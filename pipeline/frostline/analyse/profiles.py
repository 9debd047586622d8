"""Profiles of trials as cells of layer and pass, read from the tables of a sweep.

In: a sweep and rows of `trials`. Out: a `StepProfile` per trial that left a trace. Only the files
of these trials are read.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from frostline.attribute.rules import AHEAD
from frostline.attribute.step_graph import Pass
from frostline.store.sweep import Sweep
from frostline.store.trial_row import TrialRow
from frostline.words import layer_number

_EXCHANGE = re.compile(
    r"^_?(?:Collective|Nccl|CrossReplicaSum|AllReduce|all-reduce|all-gather|all-to-all"
    r"|reduce-scatter|collective-|nccl(?:Dev)?Kernel|rccl|MemcpyP2P|MemcpyPtoP)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileCell:
    """What op time is summed by.

    Attributes:
        layer: None where the op belongs to no layer.
        pass_: its pass; None for the time in which the device waits.
        exchange: True for ops that exchange values between devices.
    """

    layer: str | None
    pass_: Pass | None
    exchange: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """The idle time of the device before some ops, per profiled step.

    Attributes:
        wait_ns: nanoseconds.
        calls: how often an op of them ran: kernels on an accelerator.
        short_calls: calls that lasted less than 5 microseconds; those of XLA's fusions count for
            each of the ops inside.
    """

    wait_ns: int
    calls: float
    short_calls: float

    def __add__(self, other: Waits) -> Waits:
        return Waits(
            wait_ns=self.wait_ns + other.wait_ns,
            calls=self.calls + other.calls,
            short_calls=self.short_calls + other.short_calls,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerMode:
    """A layer of a trial; a row of `layers` without its times."""

    layer: str
    index: int
    kind: str
    mode: str

    @property
    def shown(self) -> str:
        """Its number and name as people read them: `layer 3 (net/conv2)`."""
        return f"layer {layer_number(self.index)} ({self.layer})"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProfile:
    """One trial's profile.

    Attributes:
        row: the trial.
        cells: op time per profiled step, nanoseconds; their sum is the trace's total without what
            the input pipeline does ahead of the step.
        waits: what the device waited before these ops; empty where it was not recorded.
        devices: planes of the trace that ran ops, ascending.
        layers: in the order of first use.
    """

    row: TrialRow
    cells: Mapping[ProfileCell, int]
    waits: Mapping[ProfileCell, Waits]
    devices: tuple[str, ...]
    layers: tuple[LayerMode, ...]


def is_exchange(op_type: str, op_name: str) -> bool:
    """Whether an op exchanges values between devices, by its type or the end of its name."""
    return bool(_EXCHANGE.match(op_type) or _EXCHANGE.match(op_name.rpartition("/")[2]))


def read_profiles(sweep: Sweep, rows: Iterable[TrialRow]) -> dict[str, StepProfile]:
    """Profiles by `trial_id`; trials without a usable trace are left out.

    Raises:
        StorageError: a file cannot be read.
    """
    wanted = {row.trial_id: row for row in rows if row.passes_ns is not None}
    if not wanted:
        return {}
    cells: dict[str, dict[ProfileCell, int]] = defaultdict(lambda: defaultdict(int))
    devices: dict[str, set[str]] = defaultdict(set)
    waits: dict[str, dict[ProfileCell, Waits]] = defaultdict(dict)
    columns = [
        "trial_id", "layer", "pass", "op_type", "op_name", "device", "ns_per_step",
        "wait_ns_per_step", "calls_per_step", "short_calls_per_step", "rule",
    ]  # fmt: skip
    for op in sweep.table("op_costs", columns, trials=wanted).to_pylist():
        if op["rule"] == AHEAD:
            continue
        cell = ProfileCell(
            layer=op["layer"],
            pass_=op["pass"],
            exchange=is_exchange(op["op_type"], op["op_name"]),
        )
        cells[op["trial_id"]][cell] += op["ns_per_step"]
        if op["wait_ns_per_step"] is not None:
            before = waits[op["trial_id"]].get(cell)
            wait = Waits(
                wait_ns=op["wait_ns_per_step"],
                calls=op["calls_per_step"],
                short_calls=op["short_calls_per_step"] or 0.0,
            )
            waits[op["trial_id"]][cell] = wait if before is None else before + wait
        devices[op["trial_id"]].add(op["device"])
    modes: dict[str, list[LayerMode]] = defaultdict(list)
    columns = ["trial_id", "layer", "index", "kind", "mode"]
    for layer in sweep.table("layers", columns, trials=wanted).to_pylist():
        modes[layer.pop("trial_id")].append(LayerMode(**layer))
    return {
        trial_id: StepProfile(
            row=wanted[trial_id],
            cells=dict(found),
            waits=waits.get(trial_id, {}),
            devices=tuple(sorted(devices[trial_id])),
            layers=tuple(sorted(modes[trial_id], key=lambda layer: layer.index)),
        )
        for trial_id, found in cells.items()
        if sum(found.values()) > 0
    }
