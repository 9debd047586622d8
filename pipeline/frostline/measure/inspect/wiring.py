"""Order, upstream relation, uses and FLOPs of layers in a traced graph.

In: a flat graph with who created each op and, where it is a training step, the pass of each op and
who needs it. Out: `Wiring`, by layer name. The forward pass alone counts. In a training step a
layer lies upstream of another only where its gradient flows through the other: behind a
`stop_gradient`, and where another loss is differentiated, it does not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import keras

from frostline.attribute.step_graph import GraphOp
from frostline.attribute.uses import ALIAS, LayerUse, ParameterFlow, adopted, uses
from frostline.attribute.walk import members, seeds_of, spread_down, topological, union, upstream
from frostline.measure.graph.called_functions import BRANCHES, CALLS, LOOPS
from frostline.measure.graph.captured_variables import CapturedVariables
from frostline.measure.graph.flatten import FlatGraph
from frostline.measure.graph.flops import OpenShapeError
from frostline.measure.graph.recorder import OpCredits
from frostline.measure.graph.step import model_path, plain_ops, total_flops
from frostline.measure.layers import OwnedLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Layers in the forward pass, by name.

    Attributes:
        first_use: position of the first op that handles the layer's variables; None if none does.
        upstream: layers whose variables reach the layer's computation, and whose gradients flow
            back through it where that is known.
        uses: calls, and one more where its variables are used outside of them.
        flops: of the ops that the layer creates.
    """

    first_use: Mapping[str, int | None]
    upstream: Mapping[str, tuple[str, ...]]
    uses: Mapping[str, int]
    flops: Mapping[str, int]

    @staticmethod
    def read(
        flat: FlatGraph,
        recorded: OpCredits,
        model: keras.Model,
        owned: Sequence[OwnedLayer],
        ops_of_step: Sequence[GraphOp] | None = None,
    ) -> Wiring:
        """Read a flat graph; `ops_of_step` are its ops in order, None for a mere forward pass."""
        captured = CapturedVariables(flat)
        top = model_path(model, tuple(owned))
        ops = plain_ops(flat, recorded.calls, top, whole=bool(model.jit_compile))
        creators: list[str | None] = [ALIAS] * len(flat.sources)
        for op in ops:
            for vertex in op.vertices:
                creators[vertex] = op.creator
        handles = {
            layer.name: frozenset().union(*(captured.of(v.variable) for v in layer.variables))
            for layer in owned
        }
        ignored: set[int] = set(captured.writes())
        if ops_of_step is None:
            live = upstream(flat.sources, flat.outputs | ignored)
        else:
            live = {
                vertex
                for op, placed in zip(flat.ops, ops_of_step, strict=True)
                if placed.pass_ == "forward"
                for vertex in op.vertices
            }
            ignored.update(
                vertex for op in flat.ops for vertex in op.vertices if vertex not in live
            )
        flow = ParameterFlow(
            sources=flat.sources, creators=creators, data=captured.data(), ignored=ignored
        )
        found = uses(flow, handles)
        names = [layer.name for layer in owned]
        passing = None if ops_of_step is None else _passing(ops_of_step, owned)
        seeds = seeds_of({bit: handles[name] for bit, name in enumerate(names)})
        reached = spread_down(flat.sources, topological(flat.sources), seeds)
        return Wiring(
            first_use={name: _first_op(flat, use) for name, use in found.items()},
            upstream={
                name: tuple(
                    names[bit]
                    for bit in members(union(reached[vertex] for vertex in _places(use)))
                    if names[bit] != name and (passing is None or names[bit] in passing[name])
                )
                for name, use in found.items()
            },
            uses={
                name: _calls(flat, recorded, name, live) + bool(use.outside)
                for name, use in found.items()
            },
            flops=_flops(flat, creators, adopted(found, creators, top), live),
        )


def _places(use: LayerUse) -> frozenset[int]:
    """Where a layer computes: where its variables meet data, else wherever they reach.

    Variables meet none in a model whose input is a parameter.
    """
    return use.meets or use.pure_inside | use.pure_outside


def _passing(ops: Sequence[GraphOp], owned: Sequence[OwnedLayer]) -> dict[str, frozenset[str]]:
    """By layer, the layers whose gradients need one of its backward ops."""
    owner = [layer.name for layer in owned for _ in layer.variables]
    found: dict[str, set[str]] = {layer.name: set() for layer in owned}
    for op in ops:
        if op.layer in found:
            found[op.layer].update(owner[position] for position in op.needed_by)
    return {name: frozenset(layers) for name, layers in found.items()}


def _first_op(flat: FlatGraph, use: LayerUse) -> int | None:
    """Position of the first op that handles a layer's variables.

    What merely hands them on to the functions that it calls counts only where there is no other.
    """
    handled = use.meets | use.pure_inside | use.pure_outside
    positions = {flat.op_of[vertex] for vertex in handled}
    found = [position for position in positions if position is not None]
    computing = [p for p in found if flat.ops[p].op_type not in CALLS | BRANCHES | LOOPS]
    return min(computing or found, default=None)


def _calls(flat: FlatGraph, recorded: OpCredits, name: str, live: Collection[int]) -> int:
    """Calls of a layer that left something in the graph that the result depends on."""
    return len(
        {
            op.call
            for op in flat.ops
            if op.call is not None
            and recorded.calls[op.call] == name
            and any(vertex in live for vertex in op.vertices)
        }
    )


def _flops(
    flat: FlatGraph,
    creators: Sequence[str | None],
    adoptive: Mapping[int, str],
    live: Collection[int],
) -> dict[str, int]:
    """Forward FLOPs by layer.

    A layer has none where one of its ops runs an unknown number of times, or has an open shape.
    """
    found: dict[str, int] = {}
    unknown: set[str] = set()
    for op in flat.ops:
        layer = adoptive.get(op.vertices[0], creators[op.vertices[0]])
        if layer is None or not any(vertex in live for vertex in op.vertices):
            continue
        if op.trips is None:
            unknown.add(layer)
            continue
        try:
            flops = total_flops(op)
        except OpenShapeError:
            unknown.add(layer)
            continue
        if flops is not None:
            found[layer] = found.get(layer, 0) + flops
    return {layer: flops for layer, flops in found.items() if layer not in unknown}
