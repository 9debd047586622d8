"""Backward work that a freeze configuration saves, counted in FLOPs. Pure.

In: the layers of a model with their forward FLOPs, and a trial. Out: the saved share of the
baseline's backward FLOPs, or None where no FLOPs are registered.

A product of inputs and weights with F forward FLOPs costs F for the gradient of its weights (dW)
and F for the gradient of its inputs (dX). So, over the layers,

    backward = sum F * (share of the layer's parameters that train)      dW
             + sum F * (1 if a layer before it trains, else 0)           dX
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerWork:
    """What the count needs of a layer.

    Attributes:
        layer: its name.
        forward_flops: of one step; None where no count is registered, which is taken as 0.
        variables: elements of each of its variables, by path.
        upstream: layers whose output reaches it.
    """

    layer: str
    forward_flops: int | None
    variables: Mapping[str, int]
    upstream: Collection[str]


def flops_saved(layers: Sequence[LayerWork], frozen_variables: Collection[str]) -> float | None:
    """Saved share of the baseline's backward FLOPs where these variables, by path, are frozen.

    Returns:
        0 for the baseline, close to 1 where only the head trains; None where no layer has
        registered FLOPs.
    """
    whole = _backward(layers, frozenset())
    return 1 - _backward(layers, frozenset(frozen_variables)) / whole if whole else None


def _backward(layers: Sequence[LayerWork], frozen: frozenset[str]) -> float:
    training = {layer.layer for layer in layers if not layer.variables.keys() <= frozen}
    total = 0.0
    for layer in layers:
        params = sum(layer.variables.values())
        trained = sum(size for path, size in layer.variables.items() if path not in frozen)
        passed_on = not training.isdisjoint(layer.upstream)
        total += (layer.forward_flops or 0) * ((trained / params if params else 0) + passed_on)
    return total
