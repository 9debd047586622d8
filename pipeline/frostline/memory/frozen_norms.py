"""What a frozen normalisation computes: less than one that trains.

In: the baseline's step, and the steps of anchors in which layers are frozen. Out: by normalisation,
the ops of the baseline that do not run where it is frozen. Keras runs a BatchNormalization that
is frozen in inference mode: it computes no statistics and differentiates none, so that its input
need not be kept. Which ops are left is seen in an anchor in which the layer is frozen, and for its
backward pass in one that passes gradients through it. Ops go by their names, which lie in the
layer's scope; sums of gradients are numbered over the whole step and are left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from frostline.attribute.step_graph import BACKWARD, GraphOp, Pass, StepGraph
from frostline.facts.model_facts import LayerFacts, ModelFacts

_FORWARD: tuple[Pass, ...] = ("forward",)

FrozenStep = tuple[frozenset[str], StepGraph]
"""Paths of the variables that an anchor froze, and its traced step."""


def left_out(
    facts: ModelFacts, graph: StepGraph, anchors: Sequence[FrozenStep]
) -> dict[str, tuple[int, ...]]:
    """By normalisation, positions of the ops that do not run where it is frozen."""
    norms = {layer.name for layer in facts.layers if layer.is_norm}
    of_layer: dict[tuple[str, tuple[Pass, ...]], list[int]] = defaultdict(list)
    for number, op in enumerate(graph.ops):
        if op.layer in norms and op.op_type != "AddN":
            for passes in (_FORWARD, BACKWARD):
                if op.pass_ in passes:
                    of_layer[op.layer, passes].append(number)
    found: dict[str, tuple[int, ...]] = defaultdict(tuple)
    for (name, passes), numbers in of_layer.items():
        if shown := _shown(facts.by_name[name], passes, anchors):
            found[name] += tuple(
                number for number in numbers if graph.ops[number].op_name not in shown
            )
    return dict(found)


def is_frozen(layer: LayerFacts, frozen: frozenset[str]) -> bool:
    """Whether all variables of a layer that has any are frozen."""
    return bool(layer.variables) and all(each.path in frozen for each in layer.variables)


def _shown(
    layer: LayerFacts, passes: tuple[Pass, ...], anchors: Sequence[FrozenStep]
) -> frozenset[str]:
    """Names of the layer's ops in the first anchor that freezes it and has any."""
    for frozen, step in anchors:
        if is_frozen(layer, frozen):
            names = frozenset(op.op_name for op in step.ops if _of(op, layer.name, passes))
            if names:
                return names
    return frozenset()


def _of(op: GraphOp, layer: str, passes: tuple[Pass, ...]) -> bool:
    return op.layer == layer and op.pass_ in passes
