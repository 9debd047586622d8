"""Which layer decides about the ops of a Keras layer, in particular of one that owns no weights.

In: the facts of a model, and the traced step in which everything trains. Out: for each Keras layer,
the layer with weights that it goes with. The cost model and `explain` share this rule. Pure.
"""

from __future__ import annotations

from frostline.attribute.step_graph import StepGraph
from frostline.facts.model_facts import LayerFacts, ModelFacts

FIXED = ""
"""Stands for the layer of ops that no layer's mode decides about."""


def units_of(facts: ModelFacts, graph: StepGraph) -> dict[str, str]:
    """Which layer's mode decides about each Keras layer's ops.

    A layer that owns weights decides about itself. A weightless one (an activation, a pooling, an
    addition) goes with the last layer, in the order of first use, whose variables need its
    gradient: gradients flow through it exactly when they flow to or through that layer. Where no
    variable needs it (what lies before every weight), it is fixed. The traced step in which
    everything trains tells all of that.

    Which layer owns a variable is what the facts say: a variable of nested cells goes by a longer
    path (`rnn/stacked/cell0/kernel`) than the layer that it belongs to (`rnn`).

    Returns:
        By name of the Keras layer, layers with weights included; `FIXED` for what belongs to none.
    """
    owner = {variable.path: layer for layer in facts.layers for variable in layer.variables}
    nearest: dict[tuple[int, ...], LayerFacts] = {}
    last: dict[str, LayerFacts] = {}
    for op in graph.ops:
        if op.layer is None or op.layer in facts.by_name or not op.needed_by:
            continue
        if op.needed_by not in nearest:
            owners = (owner[graph.variables[i]] for i in op.needed_by)
            nearest[op.needed_by] = max(owners, key=_order)
        found = nearest[op.needed_by]
        last[op.layer] = max(found, last.get(op.layer, found), key=_order)
    units = {name: name for name in (*facts.by_name, FIXED)}
    return units | {weightless: layer.name for weightless, layer in last.items()}


def _order(layer: LayerFacts) -> int:
    return layer.index
