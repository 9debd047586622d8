"""The cost model: the step time of any freeze configuration as a sum over layers and passes.

In: the facts of a model and its priced anchors. Out: predicted step times relative to the baseline.
Refuses (UsageError): anchors that leave a layer without a price for a mode it can take.

The sum (Method 10). A layer is `trainable`, `pass_through` or `pruned`:

- forward: what the layer's forward ops cost in the anchor that shows the layer in this mode;
- dX: nothing when pruned; when passed through, its price in the anchor that shows it so; when
  trainable, those of its ops in the trainable anchor that some variable needs which still trains;
- dW: of the trainable anchor's ops, those that some variable needs which still trains;
- optimizer: the trainable anchor's, in proportion to the layer's parameters that still train; what
  serves all layers at once grows with the trained parameters between what two anchors show;
- everything else is the same in all configurations: the mean over the anchors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from pipeline.attribute.step_graph import Pass
from pipeline.costmodel.anchor import FIXED, AnchorRun, PricedAnchor, PricedOp, priced, units_of
from pipeline.errors import UsageError
from pipeline.model_facts import ModelFacts
from pipeline.policies import layer_modes
from pipeline.policies.modes import Mode

BACKWARD: tuple[Pass, Pass] = ("activation_gradient", "weight_gradient")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPrice:
    """What a layer costs in one configuration, in baseline steps; its weightless followers in it.

    Attributes:
        layer: the layer's name; `FIXED` for what belongs to none.
        mode: its mode; None for `FIXED`.
        forward, activation_gradient, weight_gradient, optimizer: prices.
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
        runs: measured anchors; the one called `trainable` has to be there.

    Raises:
        UsageError: the trainable anchor is missing, or a layer has no price for a mode that it
            takes in some configuration.
    """

    def __init__(self, facts: ModelFacts, runs: Sequence[AnchorRun]) -> None:
        by_name = {run.name: run for run in runs}
        if "trainable" not in by_name:
            raise UsageError(
                "the cost model needs the trainable anchor (a control of this model and setting "
                "with a trace); run the study with profile_steps > 0"
            )
        self.facts = facts
        base = by_name["trainable"]
        self._units = units_of(facts, base.graph)
        self._anchors = [priced(run, facts, self._units) for run in runs]
        self._base = next(anchor for anchor in self._anchors if anchor.name == "trainable")
        self._needs = {
            op.graph_op: op.needed_by for op in self._base.ops if op.graph_op and op.needed_by
        }
        self._by_unit: dict[str, list[PricedOp]] = defaultdict(list)
        for op in self._base.ops:
            self._by_unit[op.unit].append(op)
        self._forward = self._by_mode("forward")
        self._passing = self._passing_ops()
        self._params = {variable.path: variable.params for variable in facts.variables}

    def predict(self, frozen_variables: Collection[str]) -> float:
        """Step time of a configuration / the baseline's, both by the model.

        Args:
            frozen_variables: paths of the frozen variables.
        """
        return self._total(frozen_variables) / self._total(())

    def speedup(self, frozen_variables: Collection[str]) -> float:
        """Predicted baseline / predicted configuration."""
        return 1 / self.predict(frozen_variables)

    def prices(self, frozen_variables: Collection[str]) -> tuple[LayerPrice, ...]:
        """Every layer's price in a configuration, in layer order, and the fixed rest last."""
        frozen = frozenset(frozen_variables)
        modes = layer_modes(self.facts, frozen)
        training = self._params.keys() - frozen
        rows = [
            LayerPrice(
                layer=layer.name,
                mode=modes[layer.name],
                forward=self._in_mode(self._forward, layer.name, modes[layer.name]),
                activation_gradient=self._gradient(layer.name, modes[layer.name], training),
                weight_gradient=self._needed(layer.name, "weight_gradient", training),
                optimizer=self._optimizer(layer.name, training),
            )
            for layer in self.facts.layers
        ]
        rows.append(self._rest(training))
        return tuple(rows)

    def _total(self, frozen_variables: Collection[str]) -> float:
        return sum(row.total for row in self.prices(frozen_variables))

    def _by_mode(self, pass_: Pass) -> dict[tuple[str, Mode], float]:
        """Price of each (layer, mode): from the trainable anchor where that shows it.

        Other modes from the first anchor that shows them.
        """
        found: dict[tuple[str, Mode], float] = {}
        for anchor in (self._base, *self._anchors):
            sums: dict[str, float] = defaultdict(float)
            for op in anchor.ops:
                if op.pass_ == pass_:
                    sums[op.unit] += op.price
            for layer, mode in anchor.modes.items():
                found.setdefault((layer, mode), sums[layer])
        return found

    def _in_mode(self, prices: Mapping[tuple[str, Mode], float], layer: str, mode: Mode) -> float:
        if (layer, mode) not in prices:
            raise UsageError(
                f"no measured anchor shows layer {layer!r} in mode {mode!r}; run the study's "
                'anchors (policy "anchors") again'
            )
        return prices[layer, mode]

    def _passing_ops(self) -> dict[str, list[PricedOp]]:
        """Per layer, its gradient ops in the anchor that shows it passing gradients through."""
        found: dict[str, list[PricedOp]] = {}
        for anchor in self._anchors:
            passed = {layer for layer, mode in anchor.modes.items() if mode == "pass_through"}
            sums: dict[str, list[PricedOp]] = {layer: [] for layer in passed - found.keys()}
            for op in anchor.ops:
                if op.unit in sums and op.pass_ in BACKWARD:
                    sums[op.unit].append(op)
            found.update(sums)
        return found

    def _gradient(self, layer: str, mode: Mode, training: Collection[str]) -> float:
        if mode == "pruned":
            return 0.0
        if mode == "trainable":
            return self._needed(layer, "activation_gradient", training)
        if layer not in self._passing:
            self._in_mode({}, layer, mode)
        return sum(
            op.price
            for op in self._passing[layer]
            if not (needs := self._needs.get(op.graph_op or "")) or not needs.isdisjoint(training)
        )

    def _needed(self, unit: str, pass_: Pass, training: Collection[str]) -> float:
        """Price of the trainable anchor's ops of a unit that some training variable needs."""
        return sum(
            op.price
            for op in self._by_unit[unit]
            if op.pass_ == pass_ and (not op.needed_by or not op.needed_by.isdisjoint(training))
        )

    def _optimizer(self, layer: str, training: Collection[str]) -> float:
        facts = self.facts.by_name[layer]
        still = sum(v.params for v in facts.variables if v.path in training)
        return self._base.price(layer, "optimizer") * (still / facts.params)

    def _rest(self, training: Collection[str]) -> LayerPrice:
        """What no layer decides about: input, loss, metrics, and the optimizer's shared part."""
        forward = fmean(
            anchor.price(FIXED, "forward")
            + sum(op.price for op in anchor.ops if op.pass_ in ("input", "other"))
            for anchor in self._anchors
        )
        return LayerPrice(
            layer=FIXED,
            mode=None,
            forward=forward,
            activation_gradient=self._needed(FIXED, "activation_gradient", training),
            weight_gradient=self._needed(FIXED, "weight_gradient", training),
            optimizer=self._shared_optimizer(training),
        )

    def _shared_optimizer(self, training: Collection[str]) -> float:
        """Linear in the trained parameters, through the most and the least that anchors train."""

        def size(anchor: PricedAnchor) -> int:
            return sum(self._params[path] for path in anchor.trained)

        least = min(self._anchors, key=size)
        low, high = least.price(FIXED, "optimizer"), self._base.price(FIXED, "optimizer")
        if size(least) == size(self._base):
            return high
        trained = sum(self._params[path] for path in training)
        share = (trained - size(least)) / (size(self._base) - size(least))
        return max(0.0, low + share * (high - low))
