"""What policies count and name: a model's layers or blocks, in the order of first use.

In: the facts of a model. Out: units, and names resolved to variables. Refuses names that fit
nothing, or more than one thing. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from frostline.errors import PolicyError
from frostline.facts.model_facts import LayerFacts, ModelFacts
from frostline.policies.grammar import Granularity
from frostline.suggest import advice


class PolicyMismatchError(PolicyError):
    """The policy is well formed but does not fit this model; it may fit another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A layer, or a block of layers.

    Attributes:
        name: the layer's or the block's name.
        variables: paths of its variables.
        params: their elements.
        has_head: True where it is or holds the head.
    """

    name: str
    variables: frozenset[str]
    params: int
    has_head: bool


def units(facts: ModelFacts, granularity: Granularity) -> tuple[Unit, ...]:
    """Return what `prefix`, `suffix`, `layer` and `random` count, in the order of first use."""
    groups: dict[str, list[LayerFacts]] = {}
    for layer in facts.layers:
        groups.setdefault(layer.block if granularity == "block" else layer.name, []).append(layer)
    return tuple(
        Unit(
            name=name,
            variables=variables_of(*layers),
            params=sum(layer.params for layer in layers),
            has_head=facts.head in layers,
        )
        for name, layers in groups.items()
    )


def variables_of(*layers: LayerFacts) -> frozenset[str]:
    """Return the paths of the layers' variables."""
    return frozenset(variable.path for layer in layers for variable in layer.variables)


def paths_of(facts: ModelFacts, layers: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of the variables of these layers, layer after layer."""
    return tuple(variable.path for name in layers for variable in facts.by_name[name].variables)


def resolve(name: str, facts: ModelFacts, *, variables: bool) -> tuple[str, frozenset[str]]:
    """Return the full name and the variable paths of what a name means.

    The name is tried in this order: as a variable's path (where `variables` allows it), the name of
    a layer, or of one that holds others (`vgg16` for `vgg16/block1_conv1`), the end of exactly one
    such name, the end of exactly one variable's path. A layer that holds others means all of them,
    and its own variables, as `model.get_layer(name).trainable = False` does.

    Raises:
        PolicyMismatchError: the name fits nothing (with the nearest name), or several things.
    """
    paths = [variable.path for variable in facts.variables] if variables else []
    if name in paths:
        return name, frozenset((name,))
    layers = layer_names(facts)
    if name in layers:
        return name, _held_by(name, facts)
    for candidates in (layers, paths):
        ends = [candidate for candidate in candidates if candidate.endswith(f"/{name}")]
        if len(ends) > 1:
            raise PolicyMismatchError(
                f"`{name}` is the end of {len(ends)} names in model `{facts.name}`: "
                f"{', '.join(f'`{end}`' for end in ends[:6])}{', ...' if len(ends) > 6 else ''}. "
                "Write one of them in full."
            )
        if ends:
            return resolve(ends[0], facts, variables=variables)
    valid = [*layers, *paths]
    raise PolicyMismatchError(
        f"model `{facts.name}` has no layer{' or variable' if variables else ''} `{name}` that "
        f"owns trainable weights. {advice(name, valid)}"
    )


def layer_names(facts: ModelFacts) -> tuple[str, ...]:
    """Names of the layers, then of those that own nothing themselves and hold layers."""
    names = dict.fromkeys(facts.by_name)
    for layer in facts.layers:
        parts = layer.name.split("/")
        names.update(dict.fromkeys("/".join(parts[:count]) for count in range(1, len(parts))))
    names.update(dict.fromkeys(facts.also_holds))
    return tuple(names)


def _held_by(name: str, facts: ModelFacts) -> frozenset[str]:
    """Variables of a layer, of those inside of it, and of those that it shares with another."""
    inside = [
        layer for layer in facts.layers if layer.name == name or layer.name.startswith(f"{name}/")
    ]
    return variables_of(*inside) | frozenset(facts.also_holds.get(name, ()))
