"""The predictors that people use instead, to be held against the same measurements. Pure.

In: what a configuration freezes and the baseline's profile by layer. Out: predicted speedups. With
f the frozen share of parameters or of forward FLOPs:

- `frozen_fraction`: 1 / (1 - f), the claim that speedup follows the frozen parameters;
- `params_2to1`, `flops_2to1`: 3 / (1 + 2 (1 - f)): the backward pass costs twice the forward pass,
  and freezing removes the frozen share of it;
- `two_point`: step time linear in f between the measured `none` and `all_but_head`;
- `elastic_trainer`: the chain rule of ElasticTrainer (Huang et al., MobiSys 2023): gradients flow
  down to the earliest trainable layer, weight gradients of the trainable ones are added, and the
  forward pass is taken as half of the whole backward pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerProfile:
    """A layer in the baseline's profile.

    Attributes:
        index: order of first use.
        forward_flops: None where no count is registered.
        dx_ns, dw_ns: gradient times per step in the profiled baseline.
    """

    index: int
    forward_flops: int | None
    dx_ns: int
    dw_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NaiveInputs:
    """What the naive predictors know of a model under a setting.

    Attributes:
        layers: the baseline's profile, by layer name.
        head_fraction: frozen fraction of `all_but_head`; None if it was not measured.
        head_relative_step: its step time / the baseline's.
    """

    layers: Mapping[str, LayerProfile]
    head_fraction: float | None
    head_relative_step: float | None


def naive_speedups(
    inputs: NaiveInputs, *, frozen_fraction: float, frozen_layers: frozenset[str]
) -> dict[str, float | None]:
    """Predicted speedup of a configuration by each naive predictor, by the predictor's name.

    None where it cannot say (everything frozen, no FLOP count).
    """
    flops = _flops_share(inputs.layers, frozen_layers)
    return {
        "frozen_fraction": _inverse(1 - frozen_fraction),
        "params_2to1": 3 / (1 + 2 * (1 - frozen_fraction)),
        "flops_2to1": None if flops is None else 3 / (1 + 2 * (1 - flops)),
        "two_point": _two_point(inputs, frozen_fraction),
        "elastic_trainer": _elastic(inputs.layers, frozen_layers),
    }


def _inverse(value: float) -> float | None:
    return 1 / value if value > 0 else None


def _flops_share(layers: Mapping[str, LayerProfile], frozen_layers: frozenset[str]) -> float | None:
    known = {
        name: layer.forward_flops
        for name, layer in layers.items()
        if layer.forward_flops is not None
    }
    total = sum(known.values())
    if not total:
        return None
    return sum(flops for name, flops in known.items() if name in frozen_layers) / total


def _two_point(inputs: NaiveInputs, frozen_fraction: float) -> float | None:
    if not inputs.head_fraction or inputs.head_relative_step is None:
        return None
    slope = (inputs.head_relative_step - 1) / inputs.head_fraction
    return _inverse(1 + slope * frozen_fraction)


def _elastic(layers: Mapping[str, LayerProfile], frozen_layers: frozenset[str]) -> float | None:
    backward = sum(layer.dx_ns + layer.dw_ns for layer in layers.values())
    training = [layer for name, layer in layers.items() if name not in frozen_layers]
    if not backward or not training:
        return None
    earliest = min(layer.index for layer in training)
    flowing = sum(layer.dx_ns for layer in layers.values() if layer.index > earliest)
    updating = sum(layer.dw_ns for layer in training)
    forward = backward / 2
    return (forward + backward) / (forward + flowing + updating)
