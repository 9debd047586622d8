"""Rows of the tables beside `trials`: samples, ops, layers, the traced step. Pure.

In: what was measured of a trial, per step. Out: rows of `steps`, `op_costs`, `layers`,
`graph_ops` and `program_ops`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from frostline.attribute.costs import OpCost
from frostline.attribute.index import GraphIndex
from frostline.attribute.rules import DISPATCH
from frostline.attribute.step_graph import Pass, StepGraph
from frostline.facts.model_facts import ModelFacts
from frostline.measure.messages import Sample
from frostline.policies import layer_modes
from frostline.store.schema import GraphOpRow, LayerRow, OpCostRow, ProgramOpRow, StepRow
from frostline.trace.ops import ProgramMemory


def step_rows(trial_id: str, samples: Iterable[Sample]) -> list[StepRow]:
    """A trial's rows of `steps`."""
    return [StepRow(trial_id=trial_id, **asdict(sample)) for sample in samples]


def op_cost_rows(trial_id: str, costs: Iterable[OpCost]) -> list[OpCostRow]:
    """A trial's rows of `op_costs`."""
    return [OpCostRow(trial_id=trial_id, **asdict(cost)) for cost in costs]


def layer_rows(
    trial_id: str,
    facts: ModelFacts,
    frozen_variables: Sequence[str],
    *,
    costs: Sequence[OpCost] | None,
    forward_flops: Mapping[str, int],
    gradient_norms: Mapping[str, float] | None = None,
    activation_bytes: Mapping[str, int] | None = None,
) -> list[LayerRow]:
    """A trial's rows of `layers`.

    `costs` are per step; None without a usable trace. `forward_flops` are by layer, for the trial's
    batch size; layers that are not known are left out. `gradient_norms` are by layer, where the
    trial recorded them. `activation_bytes` are by layer, where the tensors of its step were
    recorded; a layer that is not named has none.
    """
    times: dict[tuple[str | None, Pass], int] = defaultdict(int)
    waits: dict[tuple[str | None, Pass], int] = defaultdict(int)
    unseen: set[tuple[str | None, Pass]] = set()
    for cost in costs or ():
        times[cost.layer, cost.pass_] += cost.ns_per_step
        waits[cost.layer, cost.pass_] += cost.wait_ns_per_step
        if cost.rule == DISPATCH:
            unseen.add((cost.layer, cost.pass_))
    # Fused and grouped updates belong to no layer; then no layer's share is known.
    optimizer_known = any(layer is not None and name == "optimizer" for layer, name in times)
    modes = layer_modes(facts, frozen_variables)

    def time_ns(layer: str, name: Pass) -> int | None:
        if costs is None or (name == "optimizer" and not optimizer_known):
            return None
        return times[layer, name] or (None if (layer, name) in unseen else 0)

    def wait_ns(layer: str, name: Pass) -> int | None:
        if costs is None or (name == "optimizer" and not optimizer_known):
            return None
        return waits[layer, name]

    return [
        LayerRow(
            trial_id=trial_id,
            layer=layer.name,
            index=layer.index,
            kind=layer.kind,
            params=layer.params,
            trainable=modes[layer.name] == "trainable",
            mode=modes[layer.name],
            forward_ns=time_ns(layer.name, "forward"),
            activation_gradient_ns=time_ns(layer.name, "activation_gradient"),
            weight_gradient_ns=time_ns(layer.name, "weight_gradient"),
            optimizer_ns=time_ns(layer.name, "optimizer"),
            forward_wait_ns=wait_ns(layer.name, "forward"),
            activation_gradient_wait_ns=wait_ns(layer.name, "activation_gradient"),
            weight_gradient_wait_ns=wait_ns(layer.name, "weight_gradient"),
            optimizer_wait_ns=wait_ns(layer.name, "optimizer"),
            forward_flops=forward_flops.get(layer.name),
            gradient_norm=(gradient_norms or {}).get(layer.name),
            activation_bytes=None
            if activation_bytes is None
            else activation_bytes.get(layer.name, 0),
        )
        for layer in facts.layers
    ]


def program_op_rows(trial_id: str, program: ProgramMemory, graph: StepGraph) -> list[ProgramOpRow]:
    """An anchor's rows of `program_ops`; `graph` is its traced step.

    None where the program is that of a function inside of a step that XLA did not compile.
    """
    index = GraphIndex(graph)
    if index.calls_of(program.program):
        return []

    def known(names: Sequence[str]) -> tuple[str, ...]:
        found = (index.find(name)[0] for name in names)
        return tuple(dict.fromkeys(op.op_name for op in found if op is not None))

    return [
        ProgramOpRow(
            trial_id=trial_id,
            op_name=op.name,
            op_type=op.opcode,
            graph_ops=known(op.op_names),
            inputs=op.inputs,
            output_bytes=op.buffer_bytes,
        )
        for op in program.ops
    ]


def graph_op_rows(trial_id: str, graph: StepGraph, *, tensors: bool) -> list[GraphOpRow]:
    """A trial's rows of `graph_ops`; with the tensors that its ops read and make, or without."""
    return [
        GraphOpRow(
            trial_id=trial_id,
            op_name=op.op_name,
            op_type=op.op_type,
            layer=op.layer,
            pass_=op.pass_,
            needed_by=tuple(graph.variables[index] for index in op.needed_by),
            forward_flops=op.forward_flops,
            inputs=op.inputs if tensors else None,
            output_bytes=op.output_bytes if tensors else None,
            temporary_bytes=op.temporary_bytes if tensors else None,
            repeats=op.repeats,
            calls=op.calls,
        )
        for op in graph.ops
    ]
