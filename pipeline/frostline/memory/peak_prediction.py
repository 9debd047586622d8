"""The predicted peak of one configuration, as values: its parts, and the tensors that hold it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from frostline.words import counted

Holder = Literal["activations", "gradients", "workspace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldTensor:
    """A tensor of the step that is alive at the peak.

    Attributes:
        layer: whose op made it; None where it belongs to none.
        holder: `activations` where the forward pass made it, `gradients` elsewhere; `workspace`
            where the op works in it.
        op: the op or the XLA instruction.
        n_bytes: its size in bytes.
    """

    layer: str | None
    holder: Holder
    op: str
    n_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakPrediction:
    """The predicted peak of one configuration, in bytes.

    Attributes:
        weights, optimizer_slots, batch, activations, gradients, workspace: its parts.
        slack: what the allocator gives beyond what is asked for.
        tensors: those of the step that are alive then, largest first.
        layer: whose op runs then; None where it belongs to none.
        pass_: its pass; None where nothing runs.
        unknown: tensors of the step, its batch included, whose size is not known, counted as 0.
    """

    weights: int
    optimizer_slots: int
    batch: int
    activations: int
    gradients: int
    workspace: int
    slack: int
    tensors: tuple[HeldTensor, ...]
    layer: str | None
    pass_: str | None
    unknown: int

    @property
    def parts(self) -> dict[str, int]:
        """Bytes of each part, by its name in words."""
        return {
            "weights": self.weights,
            "optimizer slots": self.optimizer_slots,
            "batch": self.batch,
            "activations": self.activations,
            "gradients": self.gradients,
            "workspace": self.workspace,
            "allocator's slack": self.slack,
        }

    @property
    def total(self) -> int:
        """The peak: the sum of the parts."""
        return sum(self.parts.values())

    @property
    def left_out(self) -> str:
        """A sentence about what the peak lacks; empty where every size is known."""
        return left_out_words(self.unknown)

    def by_layer(self) -> dict[str | None, int]:
        """Bytes alive at the peak by layer, largest first; weights and slots excepted."""
        found: dict[str | None, int] = defaultdict(int)
        for tensor in self.tensors:
            found[tensor.layer] += tensor.n_bytes
        return dict(sorted(found.items(), key=lambda entry: -entry[1]))


def left_out_words(unknown: int) -> str:
    """A sentence about tensors whose size is not known; empty where there are none."""
    if not unknown:
        return ""
    they = "it counts" if unknown == 1 else "they count"
    return f"The size of {counted(unknown, 'tensor')} is not known, and {they} as 0 bytes."
