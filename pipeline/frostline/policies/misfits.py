"""Policies that fit none of the models they are asked of.

In: policies and the facts of models. Out: nothing, or `PolicyError` with every model's reason. A
policy that fits one model and not another is left to the caller, who skips it there. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from frostline.errors import PolicyError
from frostline.facts.model_facts import ModelFacts
from frostline.policies.expand import expand
from frostline.policies.grammar import Granularity, Policy, spelled
from frostline.policies.units import PolicyMismatchError
from frostline.variant import is_variant_key


def refuse_misfits(
    policies: Iterable[Policy],
    models: Iterable[ModelFacts],
    *,
    granularity: Granularity,
    seed: int,
    where: str = "",
) -> None:
    """Raise where a policy names or counts what no model has.

    A model in which nothing trains is passed over: no policy fits it. `where` is the key of the
    study file in which the policies stand, for the message.

    Raises:
        PolicyError: with the reason of every model; also where a policy freezes everything.
    """
    trained = {facts.name: facts for facts in models if facts.layers}
    for policy in policies:
        reasons = []
        for facts in trained.values():
            try:
                expand(policy, facts, granularity=granularity, seed=seed)
            except PolicyError as error:
                known = isinstance(error, PolicyMismatchError)
                if not known and not is_variant_key(facts.name):
                    raise
                reasons.append(f"{where}, `{spelled(policy)}`: {error}" if where else str(error))
        if trained and len(reasons) == len(trained):
            raise PolicyError("\n".join(reasons))
