"""The mode of each layer under a freeze configuration: trainable, passed through, or pruned.

In: the facts of a model and a set of frozen variables. Out: one mode per layer. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from frostline.facts.model_facts import ModelFacts

Mode = Literal["trainable", "pass_through", "pruned"]


def frozen_layers(facts: ModelFacts, frozen_variables: Collection[str]) -> tuple[str, ...]:
    """Return the layers with nothing left to train, in layer order; variables go by their paths."""
    frozen = frozenset(frozen_variables)
    return tuple(
        layer.name
        for layer in facts.layers
        if all(variable.path in frozen for variable in layer.variables)
    )


def earliest_trainable(facts: ModelFacts, frozen_layers: Collection[str]) -> int:
    """Return the index of the first layer that still trains; at least one does."""
    training = facts.by_name.keys() - frozenset(frozen_layers)
    return min(facts.by_name[name].index for name in training)


def layer_modes(facts: ModelFacts, frozen_variables: Collection[str]) -> dict[str, Mode]:
    """Return the mode of every layer under a freeze configuration, in layer order.

    A layer of which anything trains is `trainable`. A frozen layer is `pass_through` when some
    layer upstream of it trains, because that layer's gradient flows through it, else `pruned`.
    """
    frozen = frozenset(frozen_layers(facts, frozen_variables))
    training = facts.by_name.keys() - frozen
    return {
        layer.name: (
            "trainable"
            if layer.name in training
            else "pruned"
            if training.isdisjoint(layer.upstream)
            else "pass_through"
        )
        for layer in facts.layers
    }
