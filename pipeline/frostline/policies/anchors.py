"""The anchors: the few configurations that together show every layer in every mode it can take.

In: the facts of a model. Out: named freeze configurations. Pure reasoning over which layers lie
upstream of which; nothing is measured here.

Three anchors suffice for most architectures: everything trainable; all frozen but the head
(`pruned`); all frozen but the layers that have no layer upstream of them (`pass_through`). Towers,
several heads and tied weights leave (layer, mode) pairs that none of the three shows; extra anchors
cover those. Where the training step cannot run one of the three (a second loss would have nothing
to train), it trains a little more; pairs that no configuration shows are left out.
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
    `pruned` if and only if something besides itself and what lies upstream of it can train; in both
    cases something of every group that has to train (`policies.runnable`) must be left. A model
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
            kept.setdefault(wiring.completed(training, wiring.missing(kept)), name)
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
    """The model as bit masks: bit i stands for `facts.layers[i]`.

    Attributes:
        bit: by name of the layer.
        upstream: per layer, the layers upstream of it.
        everything: all layers.
        groups: something of each of these has to train.
    """

    bit: dict[str, int]
    upstream: tuple[int, ...]
    everything: int
    groups: tuple[int, ...]

    @staticmethod
    def of(facts: ModelFacts) -> _Wiring:
        bit = {layer.name: 1 << position for position, layer in enumerate(facts.layers)}
        upstream = tuple(
            _union(bit[name] for name in layer.upstream if name in bit and name != layer.name)
            for layer in facts.layers
        )
        layer_of = {variable.path: variable.layer for variable in facts.variables}
        groups = tuple(
            _union(bit[layer_of[path]] for path in group) for group in facts.required_groups
        )
        return _Wiring(bit=bit, upstream=upstream, everything=(1 << len(bit)) - 1, groups=groups)

    @property
    def sources(self) -> int:
        """Layers with a gradient and none upstream."""
        connected = self.groups[0] if self.groups else 0
        return connected & _union(1 << i for i, above in enumerate(self.upstream) if not above)

    def completed(self, training: int, missing: _Pairs) -> int:
        """What trains, and for each group of which nothing does, the layer that shows most.

        Of several that show as many missing pairs the last one in the order of first use counts.
        """
        for group in self.groups:
            if not group & training:
                training |= max(
                    _bits(group),
                    key=lambda one: (missing.common(self.shown(training | one)), one),
                )
        return training

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
            passed=_union(
                1 << i for i, above in enumerate(self.upstream) if above and self._leaves(1 << i)
            ),
            pruned=_union(
                1 << i for i, above in enumerate(self.upstream) if self._leaves(above | 1 << i)
            ),
        )
        for training in kept:
            pairs = pairs.without(self.shown(training))
        return pairs

    def _leaves(self, frozen: int) -> bool:
        """Whether something of every group is left to train."""
        return all(group & ~frozen for group in self.groups)

    def best(self, missing: _Pairs) -> int:
        """Greedy: the single layer that shows most when it alone trains, then what adds to it.

        Every possible pair is shown by some single training layer (one upstream of the layer for
        `pass_through`, one that is neither it nor upstream of it for `pruned`), with one of every
        group that has to train beside it. Should what is put beside it hide every missing pair, the
        first of them is shown on purpose; so each call shows at least one, and the search ends.
        """
        training, gain = 0, 0
        while True:
            better = training
            for one in _bits(self.everything & ~training):
                candidate = self.completed(training | one, missing)
                value = missing.common(self.shown(candidate))
                if value > gain:
                    better, gain = candidate, value
            if better == training:
                return training or self._showing_first(missing)
            training = better

    def _showing_first(self, missing: _Pairs) -> int:
        """What trains so that the first missing pair is shown."""
        if missing.passed:
            layer = missing.passed & -missing.passed
            above = self.upstream[layer.bit_length() - 1]
            training, without = above & -above, layer
        else:
            layer = missing.pruned & -missing.pruned
            training, without = 0, layer | self.upstream[layer.bit_length() - 1]
        for group in self.groups:
            if not group & training:
                last = group & ~without
                training |= 1 << (last.bit_length() - 1)
        return training

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
