"""Configurations: what the policies of a study, and the anchors, freeze in one model.

In: a study and the facts of its models. Out: distinct freeze configurations, each with every
policy that gave it. Refuses policies that freeze everything. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from frostline.errors import PolicyError
from frostline.facts.model_facts import ModelFacts
from frostline.policies import PolicyMismatchError, anchors, expand, spelled, why_not
from frostline.study.study import Study
from frostline.variant import is_variant_key


@dataclass(slots=True, kw_only=True)
class Configuration:
    """One freeze configuration of a model and the policies that gave it.

    Attributes:
        frozen: paths of the frozen variables.
        policy: the expanded policy that gave it first.
        aliases: the others.
        anchor: which anchor it is, None where it is none.
    """

    frozen: frozenset[str]
    policy: str
    aliases: list[str] = field(default_factory=list)
    anchor: str | None = None

    def also(self, policy: str) -> None:
        """Record that this policy gives the configuration as well."""
        if policy != self.policy and policy not in self.aliases:
            self.aliases.append(policy)


def configurations_of(
    study: Study, facts: ModelFacts, notices: list[str]
) -> tuple[list[Configuration], bool]:
    """Return a model's configurations besides the baseline, and whether any policy gave one.

    `notices` takes a sentence for each policy that is skipped.

    Raises:
        PolicyError: a policy freezes everything; in a variant it is skipped.
    """
    found: dict[frozenset[str], Configuration] = {}
    asked = False
    for policy in study.freeze.policies:
        try:
            expanded = expand(policy, facts, granularity=study.freeze.granularity, seed=study.seed)
        except PolicyError as error:
            known = isinstance(error, PolicyMismatchError)
            if not known and not is_variant_key(facts.name):
                raise
            notices.append(f"`{spelled(policy)}` is skipped: {error}")
            continue
        if not expanded:
            notices.append(
                f"`{spelled(policy)}` is skipped: it matches nothing in model `{facts.name}`."
            )
        for one in expanded:
            if reason := why_not(facts, one.frozen_variables):
                notices.append(f"`{one.policy}` is skipped in model `{facts.name}`: {reason}.")
                continue
            asked = True
            _add(found, one.policy, one.frozen_variables)
    of_model = anchors(facts)
    if study.freeze.anchors:
        for one in expand("anchors", facts):
            _add(found, one.policy, one.frozen_variables)
    found.pop(frozenset(), None)  # the controls are added later
    for anchor in of_model:
        if anchor.frozen_variables in found:
            found[anchor.frozen_variables].anchor = anchor.name
    return list(found.values()), asked


def _add(found: dict[frozenset[str], Configuration], policy: str, frozen: frozenset[str]) -> None:
    known = found.setdefault(frozen, Configuration(frozen=frozen, policy=policy))
    known.also(policy)
