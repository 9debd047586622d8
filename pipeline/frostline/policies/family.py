"""The family of a policy: its name without what it counts, for tables and plots to group by.

In: a policy as it reads. Out: `prefix` for `prefix:8`, `prefix+norms` for `prefix:8+norms`. Refuses
nothing: rows that another version wrote may hold policies that this one does not know. Pure.
"""

from __future__ import annotations

from typing import assert_never

from frostline.errors import PolicyError
from frostline.policies.grammar import (
    AnchorTerm,
    Count,
    Listed,
    Named,
    Random,
    Regex,
    Term,
    Word,
    parse,
)


def family(policy: str) -> str:
    """Return the names of a policy's terms, each once, joined by `+`; of no policy, its name."""
    try:
        terms = parse(policy)
    except PolicyError:
        return policy.partition(":")[0]
    return "+".join(dict.fromkeys(_name(term) for term in terms))


def _name(term: Term) -> str:
    match term:
        case Word(name):
            return name
        case Count(kind):
            return kind
        case Named():
            return "layer"
        case AnchorTerm():
            return "anchors"
        case Random():
            return "random"
        case Regex():
            return "regex"
        case Listed():
            return "list"
        case _:
            assert_never(term)
