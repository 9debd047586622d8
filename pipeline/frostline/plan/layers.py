"""The layers of a model as policies count them, and what each policy of a study freezes. Pure.

In: a study and the facts of a model. Out: `ModelLayers`. Numbers start at 1, as in policies.
"""

from __future__ import annotations

from dataclasses import dataclass

from frostline.facts.model_facts import ModelFacts
from frostline.plan.configurations import configurations_of
from frostline.policies import frozen_layers
from frostline.study.study import Study
from frostline.words import layer_number


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedLayer:
    """A layer of a model.

    Attributes:
        number: from 1 at the input, in the order of first use; `layers.index` + 1.
        name, kind, block: as in `LayerFacts`.
        params: parameters that train in the baseline; `share`: of all of them.
        forward_flops: for one batch; None where no count is registered.
        is_head: whether it is the head.
    """

    number: int
    name: str
    kind: str
    block: str
    params: int
    share: float
    forward_flops: int | None
    is_head: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPolicy:
    """What a policy of the study freezes in the model.

    Attributes:
        policy: expanded, as it stands in `trials.policy`; `aliases`: others that freeze the same.
        frozen_fraction: share of the parameters.
        layers: numbers of the layers with nothing left to train.
        partly: numbers of the layers of which some variables are frozen and others train.
    """

    policy: str
    aliases: tuple[str, ...]
    frozen_fraction: float
    layers: tuple[int, ...]
    partly: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLayers:
    """A model's layers, and what the study's policies freeze in it.

    Attributes:
        model: its name in the study.
        batch_size: the examples that `forward_flops` are for.
        layers: in the order of first use.
        policies: as in `frostline plan`, without the controls.
        notices: policies that are skipped, and why.
    """

    model: str
    batch_size: int
    layers: tuple[ListedLayer, ...]
    policies: tuple[ListedPolicy, ...]
    notices: tuple[str, ...]


def model_layers(study: Study, facts: ModelFacts) -> ModelLayers:
    """List a model's layers.

    Raises:
        PolicyError: a policy of the study freezes everything.
    """
    notices: list[str] = []
    found, _ = configurations_of(study, facts, notices)
    total = facts.total_params or 1
    return ModelLayers(
        model=facts.name,
        batch_size=facts.batch_size,
        layers=tuple(
            ListedLayer(
                number=layer_number(layer.index),
                name=layer.name,
                kind=layer.kind,
                block=layer.block,
                params=layer.params,
                share=layer.params / total,
                forward_flops=layer.forward_flops,
                is_head=layer is facts.head,
            )
            for layer in facts.layers
        ),
        policies=tuple(_policy(facts, one.policy, tuple(one.aliases), one.frozen) for one in found),
        notices=tuple(notices),
    )


def _policy(
    facts: ModelFacts, policy: str, aliases: tuple[str, ...], frozen: frozenset[str]
) -> ListedPolicy:
    whole = set(frozen_layers(facts, frozen))
    params = sum(each.params for each in facts.variables if each.path in frozen)
    return ListedPolicy(
        policy=policy,
        aliases=aliases,
        frozen_fraction=params / (facts.total_params or 1),
        layers=tuple(layer_number(each.index) for each in facts.layers if each.name in whole),
        partly=tuple(
            layer_number(layer.index)
            for layer in facts.layers
            if layer.name not in whole and any(each.path in frozen for each in layer.variables)
        ),
    )
