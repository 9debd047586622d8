"""Sweeps with known causes: a chain of layers whose ops cost what the table below says.

`Chain` makes the op costs of a configuration; tests change them to build one cause each.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from conftest import trial_row
from schedule_kit import facts

from frostline.facts.model_facts import ModelFacts, dump_facts, facts_path
from frostline.store.outdir import OutDir, TrialTables
from frostline.store.sweep import Sweep, open_sweep
from frostline.store.trial_row import TrialRow

MS = 1_000_000
GPU = "/device:GPU:0"
PASSES = ("forward", "activation_gradient", "weight_gradient", "optimizer", "input", "other")


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Layers one behind the other, each with these costs in nanoseconds."""

    kinds: Sequence[str] = ("Conv2D",) * 5 + ("Dense",)
    forward: int = 2 * MS
    dx: int = 2 * MS
    dw: int = 2 * MS
    update: int = MS // 2
    device: str = "/host:CPU"

    @property
    def device_id(self) -> str:
        return "cpu:0,1" if self.device.startswith("/host") else "GPU-1"

    @property
    def facts(self) -> ModelFacts:
        return facts(self.names)

    @property
    def names(self) -> list[str]:
        return [f"net/layer{i}" for i in range(len(self.kinds))]

    def modes(self, frozen: Iterable[int]) -> list[str]:
        frozen = set(frozen)
        trains = [i for i in range(len(self.kinds)) if i not in frozen]
        return [
            "trainable" if i not in frozen else "pass_through" if min(trains) < i else "pruned"
            for i in range(len(self.kinds))
        ]

    def ops(self, frozen: Iterable[int] = ()) -> list[dict]:
        frozen = set(frozen)
        first = min(i for i in range(len(self.kinds)) if i not in frozen)
        found = []
        for i, name in enumerate(self.names):
            found.append(self.op(name, "forward", "Conv2D", self.forward))
            if i > first:
                found.append(self.op(name, "activation_gradient", "Conv2DBackpropInput", self.dx))
            if i not in frozen:
                found.append(self.op(name, "weight_gradient", "Conv2DBackpropFilter", self.dw))
                found.append(self.op(name, "optimizer", "ResourceApplyAdam", self.update))
        return found

    def op(self, layer: str | None, pass_: str, op_type: str, ns: int, **changes) -> dict:
        scope = f"{layer or 'net'}/{pass_}"
        return {
            "layer": layer, "pass": pass_, "op_type": op_type, "op_name": f"{scope}/{op_type}",
            "device": self.device, "calls_per_step": 1.0, "ns_per_step": ns, "rule": "exact",
            "graph_op": f"{scope}/{op_type}",
        } | changes  # fmt: skip

    def layers(self, frozen: Iterable[int]) -> list[dict]:
        return [
            {
                "layer": name, "index": i, "kind": self.kinds[i], "params": 100,
                "trainable": mode == "trainable", "mode": mode,
            }
            for i, (name, mode) in enumerate(zip(self.names, self.modes(frozen), strict=True))
        ]  # fmt: skip


@dataclass(kw_only=True)
class Built:
    """A sweep in the making; three quiet controls unless told otherwise."""

    folder: Path
    chain: Chain = field(default_factory=Chain)
    baseline_ns: int = 0
    waiting_ns: int = 0
    tables: list[TrialTables] = field(default_factory=list)

    def controls(self, speedups=(0.999, 1.001, 1.0), ops=None, **changes) -> "Built":
        ops = self.chain.ops() if ops is None else ops
        self.baseline_ns = sum(op["ns_per_step"] for op in ops) + self.waiting_ns
        for replicate, speedup in enumerate(speedups):
            about = {
                "is_control": True, "replicate": replicate,
                "speedup_low": speedup - 0.002, "speedup_high": speedup + 0.002,
            }  # fmt: skip
            self.trial("none", (), speedup=speedup, ops=ops, **(about | changes))
        return self

    def trial(
        self, policy, frozen, *, ops=None, speedup=None, waiting_ns=None, graph=(), **changes
    ) -> str:
        """Add a trial; its speedup follows from its ops unless given. Returns its id."""
        frozen = list(frozen)
        ops = self.chain.ops(frozen) if ops is None else ops
        total = sum(op["ns_per_step"] for op in ops)
        waiting_ns = self.waiting_ns if waiting_ns is None else waiting_ns
        step_ns = total + waiting_ns
        passes = {
            f"{name}_ns": sum(op["ns_per_step"] for op in ops if op["pass"] == name)
            for name in PASSES
        }
        row = trial_row(policy, [], speedup or self.baseline_ns / step_ns, **changes)
        row |= {
            "model": changes.get("model", "net"), "step_ns": step_ns,
            "baseline_step_ns": self.baseline_ns, "busy_ns": total, "profiler_overhead": 1.0,
            "device_id": self.chain.device_id,
            "frozen_layers": [self.chain.names[i] for i in frozen],
            "frozen_variables": [f"{self.chain.names[i]}/kernel" for i in frozen],
            "frozen_fraction": len(frozen) / len(self.chain.kinds), **passes,
        } | changes  # fmt: skip
        key = {"trial_id": row["trial_id"]}
        known = row["status"] == "ok"
        row["speedup"] = row["speedup"] if known else None
        profiled = known and row["forward_ns"] is not None
        self.tables.append(
            TrialTables(
                trial_id=str(row["trial_id"]),
                trials=[row],
                op_costs=[op | key for op in ops] if profiled else [],
                layers=[layer | key for layer in self.chain.layers(frozen)] if known else [],
                graph_ops=[op | key for op in graph],
            )
        )
        return str(row["trial_id"])

    def sweep(self, facts: ModelFacts | None = None) -> Sweep:
        self.write(facts)
        return open_sweep(str(self.folder))

    def write(self, facts: ModelFacts | None = None) -> None:
        """Write it, and do not read it."""
        out = OutDir.open(str(self.folder), create=True)
        with out.lock():
            out.begin_run('name = "demo"\n', "0" * 64, "demo", {"python": "3.11.7"})
            out.write_text(facts_path("net"), dump_facts(facts or self.chain.facts))
            for tables in self.tables:
                out.publish(tables)


def row_of(**changes: object) -> TrialRow:
    """A control's row, with these columns instead of its own."""
    nothing = {field.name: None for field in fields(TrialRow)}
    return TrialRow.from_mapping(nothing | trial_row("none", [], 1.0) | changes)


TWO_GPUS = {"strategy": "mirrored", "device_id": "GPU-1,GPU-2"}
NO_TRACE = dict.fromkeys([*(f"{name}_ns" for name in PASSES), "busy_ns", "profiler_overhead"])
FAILED = NO_TRACE | {
    "status": "failed", "speedup_low": None, "speedup_high": None,
    "step_ns": None, "baseline_step_ns": None, "device_kind": None,
}  # fmt: skip
