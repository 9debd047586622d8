"""One trial with everything that its explanation is made from, and the parts of its step.

In: the trial's row, its verdict, the ledgers of trial and controls, its layers. Out: `Case`, from
which the rules (`worth`, `variants`, `saved`, `remains`, `waiting`) derive their reasons. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import get_args

from frostline.analyse import Verdict
from frostline.analyse.forward_alone import forward_alone
from frostline.analyse.groups import is_unusable
from frostline.analyse.lora_products import LoraProducts
from frostline.analyse.profiles import LayerMode, ProfileCell, Waits
from frostline.explanation.explanation import ForwardAlone, Part, PartKind, Quantity, Reason
from frostline.explanation.ledger import WAITING, Ledger, mean_ledger
from frostline.store.trial_row import TrialRow

Where = Callable[[ProfileCell], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartChange:
    """Time of some cells in baseline and trial, nanoseconds per step.

    Attributes:
        baseline_ns, trial_ns: as measured.
        spread_ns: the most that a single control differs from their mean; 0 with one control.
        noise_ns: what the trial's time is uncertain by, since its speedup is: the noise floor
            times `trial_ns`. What waiting is uncertain by is the noise floor times the trial's
            step, because waiting is what the ops leave of it.
    """

    baseline_ns: int
    trial_ns: int
    spread_ns: int
    noise_ns: int

    @property
    def saved_ns(self) -> int:
        """Baseline minus trial."""
        return self.baseline_ns - self.trial_ns

    @property
    def is_real(self) -> bool:
        """Whether the change is larger than what this part is itself uncertain by."""
        return abs(self.saved_ns) > max(self.noise_ns, self.spread_ns)

    def figures(self, name: str) -> tuple[Quantity, Quantity]:
        """Both times, as the quantities `baseline <name>` and `trial <name>`."""
        return (
            Quantity(name=f"baseline {name}", value=self.baseline_ns, unit="ns"),
            Quantity(name=f"trial {name}", value=self.trial_ns, unit="ns"),
        )


@dataclass(frozen=True, kw_only=True)
class Case:
    """A trial to be explained.

    Attributes:
        row: the trial.
        verdict: what its speedup is worth; None where it has none.
        noise_floor: of its model and setting; None without a measured control.
        step_ns: baseline's step / speedup; None for a trial that was not timed.
        controls: the baseline's step as each profiled control splits it; may be empty.
        control_rows: rows of these controls, in the same order.
        trial: the trial's step; None without a profile.
        launches: the trial's ops by cell, with the waits of its profile; empty where not recorded.
        layers: the trial's layers in the order of first use; empty where they are not known.
        stands_for: the layer with weights that each layer counts with, as in the cost model.
        devices: planes in the trial's profile.
        lora: its low-rank products; None where it trains none.
        recomputes: it is a variant whose layers recompute their activations.
    """

    row: TrialRow
    verdict: Verdict | None
    noise_floor: float | None
    step_ns: int | None
    controls: tuple[Ledger, ...]
    control_rows: tuple[TrialRow, ...]
    trial: Ledger | None
    launches: Mapping[ProfileCell, Waits]
    layers: tuple[LayerMode, ...]
    stands_for: Mapping[str, str]
    devices: tuple[str, ...]
    lora: LoraProducts | None = None
    recomputes: bool = False

    @cached_property
    def baseline(self) -> Ledger | None:
        """The baseline's step, as the mean of the controls splits it."""
        step_ns = self.row.baseline_step_ns
        if not self.controls or step_ns is None:
            return None
        return mean_ledger(self.controls, step_ns)

    @property
    def is_unreadable(self) -> bool:
        """Whether the noise floor is too large for any speedup to be believed."""
        return is_unusable(self.noise_floor)

    @property
    def frozen_prefix_length(self) -> int:
        """How many layers, from the input on, are frozen without a gap; 0 where not known."""
        first = self.first_trainable
        return 0 if first is None else self.layers.index(first)

    @property
    def noise_ns(self) -> int:
        """The noise floor times the baseline's step; 0 where either is not known."""
        return round((self.noise_floor or 0.0) * (self.row.baseline_step_ns or 0))

    def share(self, ns: int) -> float:
        """A time as a share of the trial's step; 0 where the step is not known."""
        return ns / self.step_ns if self.step_ns else 0.0

    @property
    def freezes(self) -> bool:
        """Whether the configuration freezes anything."""
        return bool(self.row.frozen_variables)

    @property
    def differs(self) -> bool:
        """Whether it freezes anything, or is a variant of the model."""
        return self.row.differs

    @property
    def first_trainable(self) -> LayerMode | None:
        """The first layer that still trains."""
        return next((layer for layer in self.layers if layer.mode == "trainable"), None)

    @cached_property
    def switched_norms(self) -> frozenset[str]:
        """Batch normalisations that freezing put into inference mode."""
        return frozenset(
            layer.layer
            for layer in self.layers
            if "BatchNorm" in layer.kind and layer.mode != "trainable"
        )

    def change(self, where: Where) -> PartChange | None:
        """Time of the wanted cells in both; None without a profile of either."""
        baseline = self.baseline
        if baseline is None or self.trial is None:
            return None
        mean_ns, trial_ns = baseline.total(where), self.trial.total(where)
        uncertain_ns = (self.step_ns or 0) if where(WAITING) else trial_ns
        return PartChange(
            baseline_ns=mean_ns,
            trial_ns=trial_ns,
            spread_ns=self._spread(where, mean_ns),
            noise_ns=round((self.noise_floor or 0.0) * uncertain_ns),
        )

    def mode_of(self, layer: str | None) -> str | None:
        """The mode of a layer; a layer without weights has that of the layer it counts with."""
        if layer is None:
            return None
        return self._modes.get(self.stands_for.get(layer, layer))

    def part_of(self, cell: ProfileCell) -> PartKind:
        """The one part that a cell belongs to."""
        if cell.pass_ is None:
            return "waiting"
        if cell.exchange:
            return "communication"
        mode = self.mode_of(cell.layer)
        match cell.pass_:
            case "activation_gradient":
                return _DX.get(mode, "dx_elsewhere")
            case "weight_gradient":
                return _DW.get(mode, "dw_elsewhere")
            case "optimizer":
                return "update"
            case "forward" | "input" | "other":
                return cell.pass_

    def parts(self) -> tuple[Part, ...]:
        """The step in parts, in the order in which a step runs; without parts that take no time."""
        baseline = self.baseline
        found = []
        for kind in get_args(PartKind):
            where = self._in_part(kind)
            before = None if baseline is None else baseline.total(where)
            after = None if self.trial is None else self.trial.total(where)
            if before or after:
                several = before is not None and len(self.controls) > 1
                spread = self._spread(where, before or 0) if several else None
                found.append(Part(kind=kind, baseline_ns=before, trial_ns=after, spread_ns=spread))
        return tuple(found)

    def remaining(self, *kinds: PartKind) -> int:
        """Time of parts in the trial, nanoseconds per step; 0 without a profile."""
        if self.trial is None:
            return 0
        return self.trial.total(lambda cell: self.part_of(cell) in kinds)

    def by_layer(self, *kinds: PartKind) -> list[tuple[str, int]]:
        """Layers by the trial's time in some parts, dearest first."""
        times: dict[str, int] = {}
        for cell, ns in self.trial.cells.items() if self.trial else ():
            if ns and cell.layer is not None and self.part_of(cell) in kinds:
                times[cell.layer] = times.get(cell.layer, 0) + ns
        return sorted(times.items(), key=lambda item: (-item[1], item[0]))

    def forward_alone(self) -> ForwardAlone | None:
        """What freezing could reach; None without a profile of the baseline, or without forward."""
        baseline = self.baseline
        step_ns = self.row.baseline_step_ns
        speedup = forward_alone(self.control_rows)
        if baseline is None or step_ns is None or speedup is None:
            return None
        forward_ns = baseline.with_waits("forward")
        gradients_ns = baseline.with_waits("activation_gradient", "weight_gradient")
        update_ns = baseline.with_waits("optimizer")
        kept_ns = step_ns - gradients_ns - update_ns
        if not kept_ns:
            return None
        return ForwardAlone(
            speedup=speedup,
            with_rest=step_ns / kept_ns,
            forward_ns=forward_ns,
            gradients_ns=gradients_ns,
            update_ns=update_ns,
            controls=tuple(row.trial_id for row in self.control_rows),
        )

    @cached_property
    def _modes(self) -> Mapping[str, str]:
        return {layer.layer: layer.mode for layer in self.layers}

    def _in_part(self, kind: PartKind) -> Where:
        return lambda cell: self.part_of(cell) == kind

    def _spread(self, where: Where, mean_ns: int) -> int:
        return max((abs(control.total(where) - mean_ns) for control in self.controls), default=0)


Rule = Callable[[Case], Reason | None]

_DX: Mapping[str | None, PartKind] = {
    "pruned": "dx_pruned",
    "pass_through": "dx_through",
    "trainable": "dx_trainable",
}
_DW: Mapping[str | None, PartKind] = {
    "pruned": "dw_frozen",
    "pass_through": "dw_frozen",
    "trainable": "dw_trainable",
}
