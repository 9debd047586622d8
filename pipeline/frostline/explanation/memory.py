"""What holds a trial's memory at its peak, and what freezing released of the baseline's.

In: a memory model and a trial's row. Out: `MemoryShare`, in bytes, and its words. The peak of a
step is a moment, so a configuration may have its own at another op than the baseline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from frostline.errors import UsageError
from frostline.memory.model import MemoryModel
from frostline.memory.peak_prediction import HeldTensor, PeakPrediction
from frostline.store.trial_row import TrialRow
from frostline.words import size

MOST_TENSORS = 10
_NAMED = 3

PASS_WORDS = {
    "forward": "in the forward pass of",
    "activation_gradient": "in the backward pass (dX) of",
    "weight_gradient": "in the backward pass (dW) of",
    "optimizer": "in the update of",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryShare:
    """The memory of a trial at its peak, and of the baseline at its own.

    Attributes:
        trial, baseline: predicted, with what holds it.
        measured_bytes: the trial's measured peak; None where there is none.
        is_from_profile: it is the profile's account of large tensors, as on CPUs.
        is_calibrated: the anchors' measured peaks are in the predictions; without them they are
            of tensors alone.
    """

    trial: PeakPrediction
    baseline: PeakPrediction
    measured_bytes: int | None
    is_from_profile: bool
    is_calibrated: bool

    @property
    def tensors(self) -> tuple[HeldTensor, ...]:
        """The largest tensors that are alive at the trial's peak."""
        return self.trial.tensors[:MOST_TENSORS]

    def parts(self) -> Iterator[tuple[str, int, int]]:
        """Name of each part, and its bytes in the baseline and in the trial."""
        for name, count in self.trial.parts.items():
            yield name, self.baseline.parts[name], count

    def words(self) -> str:
        """What was released, and what still holds the peak."""
        before, after = self.baseline.by_layer(), self.trial.by_layer()
        released = {name: count - after.get(name, 0) for name, count in before.items()}
        gone = sorted(released.items(), key=lambda entry: -entry[1])
        sentences = [
            f"{size(max(0, self.baseline.total - self.trial.total))} less than the baseline"
            if self.trial.total < self.baseline.total
            else "no less than the baseline"
        ]
        if named := _listed([entry for entry in gone if entry[1] > 0]):
            sentences.append(f"released: {named}")
        if held := _listed(list(after.items())):
            sentences.append(f"still held: {held}")
        where = PASS_WORDS.get(self.trial.pass_ or "")
        if where is not None:
            sentences.append(f"the peak lies {where} {_layer(self.trial.layer)}")
        return "; ".join(sentences)


def memory_share(
    memory: MemoryModel | None, row: TrialRow, *, plain: MemoryModel | None
) -> MemoryShare | None:
    """What holds a trial's memory; None where nothing can say it.

    Args:
        memory: of the trial's model, or of its variant.
        row: the trial.
        plain: of the plain model, whose baseline it is compared with.
    """
    if memory is None or plain is None:
        return None
    try:
        trial, baseline = memory.predict(row.frozen_variables), plain.predict(())
    except UsageError:
        return None
    return MemoryShare(
        trial=trial,
        baseline=baseline,
        measured_bytes=row.requested_peak_bytes,
        is_from_profile=row.peak_memory_source == "profile",
        is_calibrated=memory.is_calibrated,
    )


def _listed(by_layer: Sequence[tuple[str | None, int]]) -> str:
    return ", ".join(f"{_layer(name)} {size(count)}" for name, count in by_layer[:_NAMED])


def _layer(name: str | None) -> str:
    return "ops outside of layers" if name is None else name
