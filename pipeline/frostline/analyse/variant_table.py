"""One model's variants and freeze configurations side by side, against the one plain baseline.

In: the groups of a summary. Out: one comparison for each model and setting that has variants: every
measured configuration, fastest first, and how far off the cost model was for each variant. Numbers
that the data do not support are None. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from frostline.analyse.groups import GroupKey
from frostline.analyse.prediction_error import held_out_of
from frostline.analyse.summary import GroupSummary
from frostline.costmodel.held_out import HeldOut, HeldOutError, held_out_error
from frostline.store.trial_row import TrialRow
from frostline.words import DASH, interval, percent, policy_words, ratio, size

COLUMNS = ("variant and policy", "trains", "speedup", "interval", "predicted", "memory")
PLAIN = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantComparison:
    """A model under one setting on one kind of device, with its variants.

    Attributes:
        title: model and setting in words.
        rows: measured trials besides the controls, fastest first.
        errors: by variant (`plain` first), the cost model's error over its held-out configurations.
        noise_floor: over the controls, which all of them share.
    """

    title: str
    rows: tuple[TrialRow, ...]
    errors: tuple[tuple[str, HeldOutError], ...]
    noise_floor: float | None

    def cells(self) -> Iterator[tuple[str, ...]]:
        """The rows under `COLUMNS`, as shown; a star marks an anchor, `~` memory as predicted."""
        for row in self.rows:
            speedup = predicted_speedup(row)
            yield (
                policy_words(row),
                _trained(row),
                ratio(row.speedup),
                interval(row.speedup_low, row.speedup_high),
                DASH if speedup is None else ratio(speedup) + ("*" if row.is_anchor else ""),
                _memory(row),
            )

    def words(self) -> str:
        """How far off predictions were, in one sentence; empty where nothing was held out."""
        said = [
            f"{name} {percent(error.mean_abs)} on average and {percent(error.max_abs)} at most "
            f"over {error.count}"
            for name, error in self.errors
        ]
        return f"Held-out error of the cost model: {'; '.join(said)}." if said else ""


def variant_comparisons(groups: Sequence[GroupSummary]) -> tuple[VariantComparison, ...]:
    """A comparison for every model, setting and kind of device that has variants."""
    found: dict[tuple[GroupKey, str | None], list[GroupSummary]] = {}
    for group in groups:
        found.setdefault((group.key.plain, group.device_kind), []).append(group)
    return tuple(
        _comparison(together)
        for together in found.values()
        if any(group.key.variant is not None for group in together)
    )


def predicted_speedup(row: TrialRow) -> float | None:
    """The cost model's speedup; None where it has none."""
    if not row.predicted_step_ns or not row.baseline_step_ns:
        return None
    return row.baseline_step_ns / row.predicted_step_ns


def _comparison(groups: Sequence[GroupSummary]) -> VariantComparison:
    rows = [
        item.row
        for group in groups
        for item in group.trials
        if item.row.speedup is not None and not item.row.is_control
    ]
    errors = [
        (group.key.variant or PLAIN, error)
        for group in groups
        if (error := held_out_error(_judged(item.row for item in group.trials))) is not None
    ]
    return VariantComparison(
        title=groups[0].title if groups[0].key.variant is None else groups[0].key.plain.label,
        rows=tuple(sorted(rows, key=lambda row: -(row.speedup or 0.0))),
        errors=tuple(errors),
        noise_floor=groups[0].noise_floor,
    )


def _judged(rows: Iterable[TrialRow]) -> list[HeldOut]:
    judged = (held_out_of(row, predicted_speedup(row)) for row in rows if not row.is_anchor)
    return [each for each in judged if each is not None]


def _trained(row: TrialRow) -> str:
    if row.total_params is None or row.frozen_params is None:
        return DASH
    return f"{row.total_params - row.frozen_params:,}"


def _memory(row: TrialRow) -> str:
    if row.peak_memory_bytes is not None:
        return size(row.peak_memory_bytes)
    parts = (
        row.weights_bytes, row.optimizer_slots_bytes, row.gradients_bytes, row.activations_bytes,
        row.workspace_bytes, row.input_bytes,
    )  # fmt: skip
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return DASH
    return f"~{size(sum(known))}"
