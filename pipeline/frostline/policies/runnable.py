"""Which freeze configurations the training step of a model can run, and why not the others.

In: the facts of a model and a configuration. Out: a reason in words. A step needs something to
differentiate; one that differentiates several losses may need something of each. Pure.
"""

from __future__ import annotations

from collections.abc import Collection

from frostline.facts.model_facts import ModelFacts
from frostline.listing import listed, quoted


def why_not(facts: ModelFacts, frozen_variables: Collection[str]) -> str | None:
    """Why a configuration cannot run, as the end of a sentence; None where it can."""
    frozen = frozenset(frozen_variables)
    groups = facts.required_groups
    if groups and groups[0] <= frozen:
        left = [layer.name for layer in facts.layers if not layer.has_gradient]
        return "it leaves nothing to train that the loss depends on" + (
            f" (no gradient reaches {listed(quoted(left), 4)})" if left else ""
        )
    for group in groups[1:]:
        if group <= frozen:
            layers = dict.fromkeys(each.layer for each in facts.variables if each.path in group)
            return f"the training step fails where none of {listed(quoted(layers), 4)} trains"
    return None
