"""The cost model: the step time of any freeze configuration as a sum over layers and passes.

In: the facts of a model and its priced anchors. Out: predicted step times relative to the baseline.
Refuses (UsageError): configurations that put a layer into a mode which no anchor shows, and those
that the training step cannot run.

The sum (docs/method.md, The cost model). A layer is `trainable`, `pass_through` or `pruned`:

- forward: what the layer's forward ops cost in the anchor that shows the layer in this mode; on a
  GPU in graph mode, a pruned layer may cost more while others have gradients (`_other_layout`);
- dX: nothing when pruned; when passed through, its price in the anchor that shows it so; when
  trainable, the layer's ops in the trainable anchor that a variable which still trains needs;
- dW: the layer's ops in the trainable anchor that a variable which still trains needs;
- optimizer: the layer's price in the trainable anchor, its work in proportion to the parameters
  that still train, its waits in proportion to the variables; optimizer ops that serve all layers
  at once are interpolated between two anchors by the number of trained parameters;
- everything that no layer decides about (input, loss and its gradient, memory sets, copies) is
  a straight line in the sum of the others, through what the anchors measured: `Rest`.

Each of these is a `Term`: a price and the condition under which it is paid. Predictions are sums of
terms, and so is the program by which `frostline.recommendation` searches for configurations.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from frostline.attribute.step_graph import BACKWARD
from frostline.costmodel.anchor import AnchorRun, PricedAnchor, priced
from frostline.costmodel.rest import Rest, rest_of
from frostline.costmodel.terms import PARTS, Part, SharedOptimizer, Term
from frostline.costmodel.units import FIXED, units_of
from frostline.errors import UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.policies import layer_modes, why_not
from frostline.policies.modes import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPrice:
    """What a layer, with the weightless layers that go with it, costs in one configuration.

    Attributes:
        layer: the layer's name; `FIXED` for what belongs to none.
        mode: its mode; None for `FIXED`.
        forward, activation_gradient, weight_gradient, optimizer: prices, in baseline steps.
    """

    layer: str
    mode: Mode | None
    forward: float
    activation_gradient: float
    weight_gradient: float
    optimizer: float

    @property
    def total(self) -> float:
        """All four together."""
        return self.forward + self.activation_gradient + self.weight_gradient + self.optimizer


@dataclass(slots=True)
class _Forward:
    """Price of a layer's forward ops, in baseline steps, and how many kernels they are."""

    price: float = 0.0
    kernels: float = 0.0


class CostModel:
    """Prices of a model's layers, and the sum over them for any configuration.

    Args:
        facts: the model.
        runs: measured anchors; the one called `trainable` must be among them.
        is_variant: the anchors are those of a variant, and were measured against the plain model.

    Attributes:
        facts: the model.
        terms: every price with its condition; a configuration costs the sum of the terms that it
            pays, plus `shared_optimizer`.
        shared_optimizer: the optimizer's part that belongs to no layer.
        priced_modes: the (layer, mode) pairs that the anchors show.
        baseline: what predictions are divided by: the step in which everything trains, by the
            model; for a variant the measured step of the plain model, which prices are in.

    Raises:
        UsageError: the trainable anchor is missing, or its step could not be analysed.
    """

    def __init__(
        self, facts: ModelFacts, runs: Sequence[AnchorRun], *, is_variant: bool = False
    ) -> None:
        by_name = {run.name: run for run in runs}
        if "trainable" not in by_name:
            raise UsageError(
                "the cost model needs the trainable anchor (a control of this model and setting "
                "with a trace); run the study with profile_steps > 0"
            )
        graph = by_name["trainable"].graph
        if graph is None or not graph.ops:
            raise UsageError(
                "the training step of the trainable anchor could not be analysed, so nothing says "
                "which op serves which layer; its row in `trials` has a warning that says why"
            )
        self.facts = facts
        units = units_of(facts, graph)
        self._anchors = [priced(run, facts, units) for run in runs]
        self._base = next(anchor for anchor in self._anchors if anchor.name == "trainable")
        self._params = {variable.path: variable.params for variable in facts.variables}
        forward = self._forward()
        self.priced_modes = frozenset(forward)
        of_layers = [
            Term(unit=layer, part="forward", price=found.price, mode=mode)
            for (layer, mode), found in forward.items()
        ]
        of_layers += self._other_layout(forward)
        of_layers += [*self._backward(), *self._passing(), *self._updates()]
        self.terms = tuple(_merged(of_layers))
        self.shared_optimizer = self._shared_optimizer()
        rest = self._rest()
        self.terms = tuple(
            _merged(
                [
                    *(replace(term, price=term.price * rest.factor) for term in self.terms),
                    Term(unit=FIXED, part="forward", price=rest.constant),
                ]
            )
        )
        self.shared_optimizer = self.shared_optimizer.scaled(rest.factor)
        self.baseline = 1.0 if is_variant else self.total(())

    def predict(self, frozen_variables: Collection[str]) -> float:
        """Step time of a configuration / the baseline's.

        Variables go by their paths.

        Raises:
            UsageError: the training step cannot run so, or no anchor shows a layer in the mode
                that it takes in this configuration.
        """
        return self.total(frozen_variables) / self.baseline

    def speedup(self, frozen_variables: Collection[str]) -> float:
        """Predicted baseline / predicted configuration; raises as `predict`."""
        return 1 / self.predict(frozen_variables)

    def prices(self, frozen_variables: Collection[str]) -> tuple[LayerPrice, ...]:
        """Every layer's price in a configuration, in layer order, and the fixed rest last.

        Raises as `predict`.
        """
        frozen = frozenset(frozen_variables)
        if reason := why_not(self.facts, frozen):
            raise UsageError(reason)
        modes = layer_modes(self.facts, frozen)
        self.refuse_unpriced(modes.items())
        training = self._params.keys() - frozen
        sums: dict[tuple[str, Part], float] = defaultdict(float)
        for term in self.terms:
            if term.paid(modes, training):
                sums[term.unit, term.part] += term.price
        trained_params = sum(self._params[path] for path in training)
        sums[FIXED, "optimizer"] += self.shared_optimizer.at(trained_params)
        return tuple(
            LayerPrice(
                layer=unit, mode=modes.get(unit), **{part: sums[unit, part] for part in PARTS}
            )
            for unit in (*modes, FIXED)
        )

    def refuse_unpriced(self, modes: Iterable[tuple[str, Mode]]) -> None:
        """Raise where no anchor shows one of these layers in its mode.

        Raises:
            UsageError: names the layer and the mode.
        """
        for layer, mode in modes:
            if (layer, mode) not in self.priced_modes:
                raise UsageError(
                    f"no measured anchor shows layer {layer!r} in mode {mode!r}; run the study's "
                    'anchors (policy "anchors") again'
                )

    def total(self, frozen_variables: Collection[str]) -> float:
        """Predicted step time of a configuration, in steps of the measured baseline.

        Raises as `predict`.
        """
        return sum(row.total for row in self.prices(frozen_variables))

    def _forward(self) -> dict[tuple[str, Mode], _Forward]:
        """Each (layer, mode): from the trainable anchor where that shows the mode.

        Any other mode is taken from the first anchor that shows it.
        """
        found: dict[tuple[str, Mode], _Forward] = {}
        for anchor in (self._base, *self._anchors):
            sums: dict[str, _Forward] = defaultdict(_Forward)
            for op in anchor.ops:
                if op.pass_ == "forward":
                    sums[op.unit].price += op.price
                    sums[op.unit].kernels += op.kernels
            for layer, mode in anchor.modes.items():
                found.setdefault((layer, mode), sums[layer])
        return found

    def _other_layout(self, forward: Mapping[tuple[str, Mode], _Forward]) -> list[Term]:
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
            *(op.needed_by for op in self._base.ops if op.unit in others and op.pass_ in BACKWARD)
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

    def _backward(self) -> list[Term]:
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
            for op in self._base.ops
            if op.pass_ in BACKWARD and op.unit != FIXED
        ]

    def _passing(self) -> list[Term]:
        """Gradient ops of each layer in the anchor that shows it passing gradients through.

        A step with several losses (a GAN's) may pass them through a layer more often than it does
        in that anchor, where not all of them have a variable that trains. The ops that are missing
        there cost what they cost in the trainable anchor.
        """
        needs = {op.graph_op: op.needed_by for op in self._base.ops if op.graph_op and op.needed_by}
        shown: set[str] = set()
        terms: list[Term] = []
        for anchor in self._anchors:
            passed = {layer for layer, mode in anchor.modes.items() if mode == "pass_through"}
            fresh = passed - shown
            shown |= fresh
            present = (
                (op, needs.get(op.graph_op or "", frozenset()))
                for op in anchor.ops
                if op.unit in fresh and op.pass_ in BACKWARD
            )
            missing = (
                (op, op.needed_by)
                for op in self._base.ops
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

    def _updates(self) -> list[Term]:
        """The optimizer's price of each layer, shared out over its variables.

        Work goes by their size. Waits are the same for each: an optimizer launches as many ops for
        a bias as for a kernel.
        """
        work: dict[str, float] = defaultdict(float)
        waits: dict[str, float] = defaultdict(float)
        for op in self._base.ops:
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
            for layer in self.facts.layers
            for variable in layer.variables
            if layer.params
        ]

    def _rest(self) -> Rest:
        """What the anchors took beside what the terms so far say of them."""
        everything = self._params.keys()
        return rest_of(
            [
                (self.total(everything - anchor.trained), sum(op.price for op in anchor.ops))
                for anchor in self._anchors
            ]
        )

    def _shared_optimizer(self) -> SharedOptimizer:
        """Linear in the trained parameters, through the most and the least that anchors train."""

        def size(anchor: PricedAnchor) -> int:
            return sum(self._params[path] for path in anchor.trained)

        least = min(map(size, self._anchors))
        low = fmean(
            anchor.price(FIXED, "optimizer") for anchor in self._anchors if size(anchor) == least
        )
        high = self._base.price(FIXED, "optimizer")
        if least == size(self._base):
            return SharedOptimizer(base=high, slope=0.0)
        slope = (high - low) / (size(self._base) - least)
        return SharedOptimizer(base=low - slope * least, slope=slope)


def _merged(terms: Iterable[Term]) -> Iterator[Term]:
    """Sum terms that are paid under the same condition into one; leave out prices of zero."""
    sums: dict[tuple[str, Part, Mode | None, frozenset[str]], float] = defaultdict(float)
    for term in terms:
        sums[term.unit, term.part, term.mode, term.needed_by] += term.price
    for (unit, part, mode, needed_by), price in sums.items():
        if price:
            yield Term(unit=unit, part=part, price=price, mode=mode, needed_by=needed_by)
