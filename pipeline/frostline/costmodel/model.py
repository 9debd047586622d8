"""The cost model: the step time of any freeze configuration as a sum over layers and passes.

In: the facts of a model and its priced anchors. Out: predicted step times relative to the baseline.
Refuses (UsageError): configurations that put a layer into a mode which no anchor shows, and those
that the training step cannot run.

The sum (docs/method.md, The cost model). A layer is `trainable`, `pass_through` or `pruned`:

- forward: what the layer's forward ops cost in the anchor that shows the layer in this mode; on a
  GPU in graph mode, a pruned layer may cost more while others have gradients;
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
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from frostline.costmodel.anchor import AnchorRun, PricedAnchor, priced
from frostline.costmodel.layer_terms import layer_terms, merged
from frostline.costmodel.rest import Rest, rest_of
from frostline.costmodel.terms import PARTS, Part, SharedOptimizer, Term
from frostline.costmodel.units import FIXED, units_of
from frostline.errors import UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.policies import layer_modes, why_not
from frostline.policies.modes import Mode

_AGAIN = """run the study's anchors (policy "anchors") again"""


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


class CostModel:
    """Prices of a model's layers, and the sum over them for any configuration.

    Args:
        facts: the model.
        runs: measured anchors; the one called `trainable` must be among them.
        is_variant: the anchors are those of a variant, and were measured against the plain model.
        advice: what to do where no anchor shows a layer in a mode; empty: measure them again.

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
        self,
        facts: ModelFacts,
        runs: Sequence[AnchorRun],
        *,
        is_variant: bool = False,
        advice: str = "",
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
        self._advice = advice or _AGAIN
        units = units_of(facts, graph)
        self._anchors = [priced(run, facts, units) for run in runs]
        self._base = next(anchor for anchor in self._anchors if anchor.name == "trainable")
        self._params = {variable.path: variable.params for variable in facts.variables}
        self.terms, self.priced_modes = layer_terms(facts, self._base, self._anchors)
        self.shared_optimizer = self._shared_optimizer()
        rest = self._rest()
        self.terms = tuple(
            merged(
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
                    f"no measured anchor shows layer {layer!r} in mode {mode!r}; {self._advice}"
                )

    def total(self, frozen_variables: Collection[str]) -> float:
        """Predicted step time of a configuration, in steps of the measured baseline.

        Raises as `predict`.
        """
        return sum(row.total for row in self.prices(frozen_variables))

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
