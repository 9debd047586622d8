"""The anchors: the few configurations that together show every layer in every mode it can take.

In: the facts of a model. Out: named freeze configurations. Pure reasoning over which layers lie
upstream of which; nothing is measured here.

Three anchors suffice for most architectures: everything trainable; all frozen but the head
(`pruned`); all frozen but the layers that have no layer upstream of them (`pass_through`). Towers,
several heads and tied weights leave (layer, mode) pairs that none of the three shows; extra anchors
cover those.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from frostline.facts.model_facts import ModelFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """One anchor.

    Attributes:
        name: `trainable`, `pruned`, `pass_through` or `extra:<n>`, n from 1.
        frozen_variables: paths of the frozen variables.
    """

    name: str
    frozen_variables: frozenset[str]


def anchors(facts: ModelFacts) -> tuple[Anchor, ...]:
    """Return the anchors of a model, `trainable` first, each configuration once.

    A pair of layer and mode is covered when some anchor shows it. `trainable` shows every layer
    trainable. A layer can be `pass_through` if and only if some layer lies upstream of it, and
    `pruned` if and only if something besides itself and what lies upstream of it can train. A model
    without layers has no anchors.

    Returns:
        `trainable`, then `pruned` and `pass_through` where they differ from the anchors before them
        and leave something to train, then as many extra ones as are needed to cover every pair.
    """
    if not facts.layers:
        return ()
    wiring = _Wiring.of(facts)
    chosen: list[tuple[str, int]] = [("trainable", wiring.everything)]
    head = facts.head
    if head is not None:
        chosen.append(("pruned", wiring.bit[head.name]))
    chosen.append(("pass_through", wiring.sources))

    kept: dict[int, str] = {}
    for name, training in chosen:
        if training:
            kept.setdefault(training, name)
    missing = wiring.missing(kept)
    extra = 0
    while missing:
        extra += 1
        training = wiring.best(missing)
        kept[training] = f"extra:{extra}"
        missing = missing.without(wiring.shown(training))
    return tuple(
        Anchor(name=name, frozen_variables=wiring.frozen(facts, training))
        for training, name in kept.items()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    """(layer, mode) pairs as two bit masks over layers; the mode `trainable` needs no mask."""

    passed: int
    pruned: int

    def without(self, other: _Pairs) -> _Pairs:
        return _Pairs(passed=self.passed & ~other.passed, pruned=self.pruned & ~other.pruned)

    def common(self, other: _Pairs) -> int:
        return (self.passed & other.passed).bit_count() + (self.pruned & other.pruned).bit_count()

    def __bool__(self) -> bool:
        return bool(self.passed | self.pruned)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wiring:
    """The model as bit masks: bit i stands for `facts.layers[i]`."""

    bit: dict[str, int]
    upstream: tuple[int, ...]
    everything: int

    @staticmethod
    def of(facts: ModelFacts) -> _Wiring:
        bit = {layer.name: 1 << position for position, layer in enumerate(facts.layers)}
        upstream = tuple(
            _union(bit[name] for name in layer.upstream if name in bit and name != layer.name)
            for layer in facts.layers
        )
        return _Wiring(bit=bit, upstream=upstream, everything=(1 << len(bit)) - 1)

    @property
    def sources(self) -> int:
        return _union(1 << i for i, above in enumerate(self.upstream) if not above)

    def shown(self, training: int) -> _Pairs:
        """Pairs that the configuration training exactly these layers shows."""
        passed = _union(
            1 << i
            for i, above in enumerate(self.upstream)
            if above & training and not training >> i & 1
        )
        return _Pairs(passed=passed, pruned=self.everything & ~training & ~passed)

    def missing(self, kept: Collection[int]) -> _Pairs:
        """Pairs that some configuration shows and none of these does."""
        pairs = _Pairs(
            passed=_union(1 << i for i, above in enumerate(self.upstream) if above),
            pruned=_union(
                1 << i
                for i, above in enumerate(self.upstream)
                if self.everything & ~(above | 1 << i)
            ),
        )
        for training in kept:
            pairs = pairs.without(self.shown(training))
        return pairs

    def best(self, missing: _Pairs) -> int:
        """Greedy: the single layer that shows most when it alone trains, then what adds to it.

        Every possible pair is shown by some single training layer (one upstream of the layer for
        `pass_through`, one that is neither it nor upstream of it for `pruned`), so each call shows
        at least one missing pair and the search ends.
        """
        training, gain = 0, 0
        while True:
            better = training
            for one in _bits(self.everything & ~training):
                value = missing.common(self.shown(training | one))
                if value > gain:
                    better, gain = training | one, value
            if better == training:
                return training
            training = better

    def frozen(self, facts: ModelFacts, training: int) -> frozenset[str]:
        return frozenset(
            variable.path
            for position, layer in enumerate(facts.layers)
            if not training >> position & 1
            for variable in layer.variables
        )


def _union(masks: Iterable[int]) -> int:
    total = 0
    for mask in masks:
        total |= mask
    return total


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low
        mask ^= low
