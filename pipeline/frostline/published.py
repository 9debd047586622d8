"""A published measurement that a study repeats.

In: `[[published]]` of a study file. Out: `Published`, to be shown beside what was measured. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from frostline.trial import Strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A speedup that somebody published.

    Attributes:
        policy: the configuration, as an expanded policy or one of its aliases.
        speedup: nothing frozen over this configuration, as published.
        source: where, in words.
        differs: what is different here, in words.
        model: the model's name in the study; None: any.
        variant: the variant's name; None: the plain model.
        strategy: only under this one; None: any.
    """

    policy: str
    speedup: float
    source: str
    differs: str
    model: str | None = None
    variant: str | None = None
    strategy: Strategy | None = None
