"""Policies applied to a model: each becomes the freeze configurations it stands for.

In: a policy and the facts of a model. Out: expanded policies, each with the variables it freezes;
an expanded policy is itself a policy and means the same configuration. Refuses counts and names
the model does not have, and configurations that leave nothing to train. Pure.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from frostline.errors import PolicyError
from frostline.facts.model_facts import ModelFacts
from frostline.policies.anchors import anchors
from frostline.policies.expressions import names_with
from frostline.policies.grammar import (
    AnchorTerm,
    Count,
    Granularity,
    Listed,
    Named,
    Policy,
    Random,
    Regex,
    Term,
    Word,
    parse,
)
from frostline.policies.units import PolicyMismatchError, Unit, resolve, units, variables_of

__all__ = ["ExpandedPolicy", "PolicyMismatchError", "expand"]


MOST_CONFIGURATIONS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpandedPolicy:
    """One freeze configuration and a policy that means exactly it.

    Attributes:
        policy: the expanded policy, as `trials.policy` holds it.
        frozen_variables: paths of the frozen variables.
    """

    policy: str
    frozen_variables: frozenset[str]


def expand(
    policy: Policy, facts: ModelFacts, *, granularity: Granularity = "layer", seed: int = 0
) -> tuple[ExpandedPolicy, ...]:
    """Return the configurations that a policy stands for in a model.

    Args:
        policy: a policy, or a list of names of layers and variables.
        facts: the model.
        granularity: what `prefix`, `suffix`, `layer` and `random` count.
        seed: the study's seed, for `random`.

    Returns:
        Expanded policies in the policy's own order; empty where it matches nothing in the model.
        Only `none` and the anchor `trainable` stand for the configuration that freezes nothing.

    Raises:
        PolicyError: not a policy, or a configuration that would freeze everything.
        PolicyMismatchError: a count or name that this model does not have.
    """
    terms = parse(policy)
    choices = [list(_expand_term(term, facts, granularity, seed)) for term in terms]
    everything = frozenset(variable.path for variable in facts.variables)
    found: list[ExpandedPolicy] = []
    if (count := math.prod(len(choice) for choice in choices if choice)) > MOST_CONFIGURATIONS:
        raise PolicyError(
            f"`{policy}` stands for {count:,} configurations of model `{facts.name}`; a "
            f"policy may stand for {MOST_CONFIGURATIONS:,} at most. Write `*/N` in place of `*`."
        )
    # The other parts of a union count even where one part matches nothing.
    for parts in itertools.product(*(choice for choice in choices if choice)):
        if not parts:
            break
        frozen: frozenset[str] = frozenset().union(*(part.frozen_variables for part in parts))
        name = "+".join(part.policy for part in parts)
        if frozen and frozen == everything:
            raise PolicyError(
                f"`{name}` freezes all {len(facts.layers)} layers of model `{facts.name}`; "
                "nothing would be left to train. Leave at least one variable out."
            )
        found.append(ExpandedPolicy(policy=name, frozen_variables=frozen))
    return tuple(found)


def _expand_term(
    term: Term, facts: ModelFacts, granularity: Granularity, seed: int
) -> Iterator[ExpandedPolicy]:
    match term:
        case Word("none"):
            yield ExpandedPolicy(policy="none", frozen_variables=frozenset())
        case Word("anchors"):
            all_but_head = _by_word("all_but_head", facts)
            for anchor in anchors(facts):
                # The pruned anchor has a name of its own among the policies, where it can be run.
                own = anchor.name == "pruned" and anchor.frozen_variables == all_but_head
                name = "all_but_head" if own else f"anchors:{anchor.name}"
                yield ExpandedPolicy(policy=name, frozen_variables=anchor.frozen_variables)
        case AnchorTerm(name):
            found = {anchor.name: anchor.frozen_variables for anchor in anchors(facts)}
            if name in found:
                yield ExpandedPolicy(policy=f"anchors:{name}", frozen_variables=found[name])
        case Word(name):
            yield from _if_any(name, _by_word(name, facts))
        case Count():
            yield from _counted(term, facts, units(facts, granularity), granularity)
        case Named(name):
            full, frozen = resolve(name, facts, variables=False)
            yield from _if_any(f"layer:{full}", frozen)
        case Random():
            yield from _drawn(term, units(facts, granularity), seed)
        case Regex(expression):
            yield from _if_any(f"regex:{expression}", _by_regex(expression, facts))
        case Listed(names):
            resolved = dict(resolve(name, facts, variables=True) for name in names)
            listed: frozenset[str] = frozenset().union(*resolved.values())
            yield from _if_any(f"list:{','.join(resolved)}", listed)


def _if_any(policy: str, frozen: frozenset[str]) -> Iterator[ExpandedPolicy]:
    if frozen:
        yield ExpandedPolicy(policy=policy, frozen_variables=frozen)


def _by_word(name: str, facts: ModelFacts) -> frozenset[str]:
    everything = variables_of(*facts.layers)
    norms = variables_of(*(layer for layer in facts.layers if layer.is_norm))
    biases = frozenset(variable.path for variable in facts.variables if variable.is_bias)
    match name:
        case "all_but_head":
            head = facts.head
            return everything - variables_of(head) if head else everything
        case "all_but_biases":
            return everything - biases if biases else frozenset()
        case "all_but_norms":
            return everything - norms if norms else frozenset()
        case "all_but_lora":
            lora = frozenset(each.path for each in facts.variables if each.is_lora)
            return everything - lora if lora else frozenset()
        case "norms":
            return norms
        case "biases":
            return biases
        case _:  # kernels: what is neither an additive bias nor a norm's scale and shift
            return everything - biases - norms


def _by_regex(expression: str, facts: ModelFacts) -> frozenset[str]:
    """Variables of the layers in whose name it is found, and variables in whose path it is."""
    names = dict.fromkeys(
        name for variable in facts.variables for name in (variable.layer, variable.path)
    )
    found = names_with(expression, names)
    return frozenset(
        variable.path
        for variable in facts.variables
        if variable.layer in found or variable.path in found
    )


def _counted(
    term: Count, facts: ModelFacts, counted: tuple[Unit, ...], granularity: Granularity
) -> Iterator[ExpandedPolicy]:
    below_head = [unit for unit in counted if not unit.has_head]
    total = len(counted)
    largest = total if term.kind == "layer" and total > 1 else total - 1
    if term.k is None:
        ks: tuple[int, ...] = _spaced(total - 1, term.at_most)
    elif term.k <= largest:
        ks = (term.k,)
    else:
        things = f"{granularity}s with weights" if total != 1 else f"{granularity} with weights"
        limit = (f"K is at most {largest}" if largest > 0 else "no K leaves anything to train") + (
            '; try granularity = "layer"' if granularity == "block" else ""
        )
        raise PolicyMismatchError(
            f"`{term.kind}:{term.k}`: model `{facts.name}` has {total} {things}, so {limit}."
        )
    for k in ks:
        match term.kind:
            case "prefix":
                chosen = list(counted[:k])
            case "suffix":
                chosen = below_head[-k:]
            case "layer":
                chosen = [counted[k - 1]]
        frozen: frozenset[str] = frozenset().union(*(unit.variables for unit in chosen))
        yield from _if_any(f"{term.kind}:{k}", frozen)


def _spaced(largest: int, at_most: int | None) -> tuple[int, ...]:
    """1 to `largest`, or at most `at_most` of them, evenly spaced, both ends included."""
    if at_most is None or largest <= at_most:
        return tuple(range(1, largest + 1))
    if at_most == 1:
        return ((largest + 1) // 2,)
    gaps = at_most - 1
    return tuple(1 + (i * (largest - 1) + gaps // 2) // gaps for i in range(at_most))


def _drawn(term: Random, counted: tuple[Unit, ...], seed: int) -> Iterator[ExpandedPolicy]:
    if len(counted) < 2:
        return
    for draw in range(term.draws) if term.draw is None else (term.draw,):
        yield ExpandedPolicy(
            policy=f"random:{term.draws}@{term.fraction}#{draw}",
            frozen_variables=_draw(counted, term.fraction, seed, draw),
        )


def _draw(counted: tuple[Unit, ...], fraction: str, seed: int, draw: int) -> frozenset[str]:
    """Take units in a random order, each that brings the frozen parameters closer to the target.

    The order is that of a hash of seed, fraction, draw and name, and so depends neither on the
    Python version nor on how many draws are asked for.
    """

    def place(unit: Unit) -> bytes:
        return hashlib.sha256(f"{seed}|{fraction}|{draw}|{unit.name}".encode()).digest()

    target = float(fraction) * sum(unit.params for unit in counted)
    frozen: frozenset[str] = frozenset()
    params, taken = 0, 0
    for unit in sorted(counted, key=place):
        closer = abs(params + unit.params - target) < abs(params - target)
        if closer and taken < len(counted) - 1:
            frozen |= unit.variables
            params, taken = params + unit.params, taken + 1
    if not frozen:  # every unit alone is further off the target than nothing
        frozen = min(counted, key=lambda unit: (unit.params, place(unit))).variables
    return frozen
