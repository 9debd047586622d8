"""What the parts of each layer's step cost, and in which configurations: terms, from the anchors.

In: the facts of a model and its priced anchors. Out: `Term`s, as `frostline.costmodel.model` sums
them, and the modes in which the anchors show each layer. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from frostline.attribute.step_graph import BACKWARD
from frostline.costmodel.anchor import PricedAnchor
from frostline.costmodel.terms import Part, Term
from frostline.costmodel.units import FIXED
from frostline.facts.model_facts import ModelFacts
from frostline.policies.modes import Mode


@dataclass(slots=True)
class _Forward:
    """Price of a layer's forward ops, in baseline steps, and how many kernels they are."""

    price: float = 0.0
    kernels: float = 0.0


def layer_terms(
    facts: ModelFacts, base: PricedAnchor, anchors: Sequence[PricedAnchor]
) -> tuple[tuple[Term, ...], frozenset[tuple[str, Mode]]]:
    """Every layer's terms, and the (layer, mode) pairs that the anchors show.

    `base` is the one of `anchors` in which everything trains.
    """
    forward = _forward(base, anchors)
    found = [
        Term(unit=layer, part="forward", price=one.price, mode=mode)
        for (layer, mode), one in forward.items()
    ]
    found += _other_layout(base, forward)
    found += [*_backward(base), *_passing(base, anchors), *_updates(facts, base)]
    return tuple(merged(found)), frozenset(forward)


def merged(terms: Iterable[Term]) -> Iterator[Term]:
    """Sum terms that are paid under the same condition into one; leave out prices of zero."""
    sums: dict[tuple[str, Part, Mode | None, frozenset[str]], float] = defaultdict(float)
    for term in terms:
        sums[term.unit, term.part, term.mode, term.needed_by] += term.price
    for (unit, part, mode, needed_by), price in sums.items():
        if price:
            yield Term(unit=unit, part=part, price=price, mode=mode, needed_by=needed_by)


def _forward(
    base: PricedAnchor, anchors: Sequence[PricedAnchor]
) -> dict[tuple[str, Mode], _Forward]:
    """Each (layer, mode): from the trainable anchor where that shows the mode.

    Any other mode is taken from the first anchor that shows it.
    """
    found: dict[tuple[str, Mode], _Forward] = {}
    for anchor in (base, *anchors):
        sums: dict[str, _Forward] = defaultdict(_Forward)
        for op in anchor.ops:
            if op.pass_ == "forward":
                sums[op.unit].price += op.price
                sums[op.unit].kernels += op.kernels
        for layer, mode in anchor.modes.items():
            found.setdefault((layer, mode), sums[layer])
    return found


def _other_layout(base: PricedAnchor, forward: Mapping[tuple[str, Mode], _Forward]) -> list[Term]:
    """What pruned layers pay more where the whole graph is laid out for training.

    In graph mode on a GPU, TensorFlow chooses a layout for all convolutions of a graph. As soon
    as one of them has a gradient they all run in another one, with transposes around them, the
    pruned ones too; the anchor in which layers are pruned may have no such gradient. It shows
    in the number of kernels that a layer's forward ops launch, against the anchor in which the
    layer passes gradients through. Where it does, pruned layers cost what they cost there while
    a variable trains that needs a gradient op of one of the layers with other kernels.
    """
    both = {
        layer: (pruned, forward[layer, "pass_through"])
        for (layer, mode), pruned in forward.items()
        if mode == "pruned" and (layer, "pass_through") in forward
    }
    others = {layer for layer, (one, other) in both.items() if one.kernels != other.kernels}
    needed = frozenset[str]().union(
        *(op.needed_by for op in base.ops if op.unit in others and op.pass_ in BACKWARD)
    )
    if not needed:
        return []
    return [
        Term(
            unit=layer,
            part="forward",
            price=max(0.0, passed.price - pruned.price),
            mode="pruned",
            needed_by=needed,
        )
        for layer, (pruned, passed) in both.items()
    ]


def _backward(base: PricedAnchor) -> list[Term]:
    """The trainable anchor's gradient ops, each paid while a variable that needs it trains.

    A layer pays its dX ops from here only while it trains: passing gradients is priced apart.
    """
    return [
        Term(
            unit=op.unit,
            part=op.pass_,
            price=op.price,
            mode="trainable" if op.pass_ == "activation_gradient" else None,
            needed_by=op.needed_by,
        )
        for op in base.ops
        if op.pass_ in BACKWARD and op.unit != FIXED
    ]


def _passing(base: PricedAnchor, anchors: Sequence[PricedAnchor]) -> list[Term]:
    """Gradient ops of each layer in the anchor that shows it passing gradients through.

    A step with several losses (a GAN's) may pass them through a layer more often than it does
    in that anchor, where not all of them have a variable that trains. The ops that are missing
    there cost what they cost in the trainable anchor. And TensorFlow numbers ops of one name in
    each graph by itself, so that what an anchor calls `X` may be `X_1` of the trainable one. Where
    nobody who trains in an anchor needs what it ran, by that name, it served whoever needs the
    layer's other gradient ops.
    """
    needs = {op.graph_op: op.needed_by for op in base.ops if op.graph_op and op.needed_by}
    shown: set[str] = set()
    terms: list[Term] = []
    for anchor in anchors:
        passed = {layer for layer, mode in anchor.modes.items() if mode == "pass_through"}
        fresh = passed - shown
        shown |= fresh
        served = _served(base, anchor.trained)
        present = (
            (op, served[op.unit] if named and named.isdisjoint(anchor.trained) else named)
            for op in anchor.ops
            for named in (needs.get(op.graph_op or "", frozenset()),)
            if op.unit in fresh and op.pass_ in BACKWARD
        )
        missing = (
            (op, op.needed_by)
            for op in base.ops
            if op.unit in fresh
            and op.pass_ == "activation_gradient"
            and op.needed_by
            and op.needed_by.isdisjoint(anchor.trained)
        )
        terms += [
            Term(
                unit=op.unit,
                part="activation_gradient",
                price=op.price,
                mode="pass_through",
                needed_by=needed_by,
            )
            for op, needed_by in (*present, *missing)
        ]
    return terms


def _served(base: PricedAnchor, trained: frozenset[str]) -> dict[str, frozenset[str]]:
    """By layer, who needs those of its gradient ops that run while these variables train."""
    found: dict[str, frozenset[str]] = defaultdict(frozenset)
    for op in base.ops:
        if op.pass_ in BACKWARD and op.needed_by & trained:
            found[op.unit] |= op.needed_by
    return found


def _updates(facts: ModelFacts, base: PricedAnchor) -> list[Term]:
    """The optimizer's price of each layer, shared out over its variables.

    Work goes by their size. Waits are the same for each: an optimizer launches as many ops for
    a bias as for a kernel.
    """
    work: dict[str, float] = defaultdict(float)
    waits: dict[str, float] = defaultdict(float)
    for op in base.ops:
        if op.pass_ == "optimizer":
            work[op.unit] += op.price - op.wait
            waits[op.unit] += op.wait
    return [
        Term(
            unit=layer.name,
            part="optimizer",
            price=work[layer.name] * variable.params / layer.params
            + waits[layer.name] / len(layer.variables),
            needed_by=frozenset((variable.path,)),
        )
        for layer in facts.layers
        for variable in layer.variables
        if layer.params
    ]
