"""The family of a policy: its name without what it counts, for tables and plots to group by.

In: a policy as it reads. Out: `prefix` for `prefix:8`, `prefix+norms` for `prefix:8+norms`. Refuses
nothing: rows that another version wrote may hold policies that this one does not know. Pure.
"""

from __future__ import annotations

from frostline.errors import PolicyError
from frostline.policies.grammar import parse


def family(policy: str) -> str:
    """Return the names of a policy's terms, each once, joined by `+`; of no policy, its name."""
    try:
        terms = parse(policy)
    except PolicyError:
        return policy.partition(":")[0]
    return "+".join(dict.fromkeys(term.family for term in terms))
