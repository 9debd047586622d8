"""The table of trials: cells with the text that is shown and the value that they are sorted by.

In: trials with their verdicts and predictions. Out: `TableRow`, failed trials with their reason. A
trial whose profile was kept links to its session in TensorBoard. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from frostline.analyse import TrialSummary
from frostline.reporting.palette import family_of_row
from frostline.store.trial_row import TrialRow
from frostline.tensorboard.runs import run_name
from frostline.tensorboard.server import DEFAULT_PORT, session_link
from frostline.words import (
    DASH,
    failure_words,
    interval,
    layer_place,
    megabytes,
    milliseconds,
    number,
    number_ranges,
    policy_words,
    ratio,
    share,
)

_REASON = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumn:
    """A column: its heading, whether its cells are numbers, and the class that styles them."""

    name: str
    numeric: bool
    style: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCell:
    """A cell: what is shown, and what it is sorted by (empty: last)."""

    text: str
    order: float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRow:
    """One trial.

    Attributes:
        trial_id: of the trial.
        kind: `control`, `inside` (the noise floor), `outside`, or `failed`.
        section: anchor of its model and setting.
        family: kind of policy.
        cells: one per column.
        reason: why it failed or left no profile; empty otherwise.
        link: its profile in TensorBoard; empty where none was kept.
    """

    trial_id: str
    kind: str
    section: str
    family: str
    cells: tuple[TableCell, ...]
    reason: str
    link: str


COLUMNS = (
    TableColumn(name="Policy", numeric=False, style="policy"),
    TableColumn(name="Frozen", numeric=True),
    TableColumn(name="Frozen layers", numeric=False, style="layers"),
    TableColumn(name="Trains from", numeric=True),
    TableColumn(name="Step (ms)", numeric=True),
    TableColumn(name="Speedup", numeric=True, style="speedup"),
    TableColumn(name="95% interval", numeric=True),
    TableColumn(name="Verdict", numeric=False),
    TableColumn(name="Predicted", numeric=True),
    TableColumn(name="Memory (MB)", numeric=True),
    TableColumn(name="Pairs", numeric=True),
)


def table_rows(
    trials: Sequence[TrialSummary],
    predicted: Mapping[str, float],
    section: str,
    order: Sequence[str] = (),
    step_ns: Callable[[TrialRow], float | None] = lambda row: row.step_ns,
) -> list[TableRow]:
    """The rows of one model and setting, in the order given.

    `predicted` is the cost model's speedup by `trial_id`, `section` the anchor of the section,
    `order` the names of all layers in order of first use, `step_ns` what a trial's step takes.
    """
    return [
        _row(item, predicted.get(item.row.trial_id), section, order, step_ns(item.row))
        for item in trials
    ]


def _layers(row: TrialRow, order: Sequence[str]) -> str:
    """Numbers of the layers that are frozen as a whole; names where their order is not known."""
    if not order:
        return ", ".join(row.frozen_layers)
    frozen = set(row.frozen_layers)
    said = number_ranges(number for number, name in enumerate(order, start=1) if name in frozen)
    return said or ("parts of layers" if row.frozen_variables else "")


def _row(
    item: TrialSummary,
    predicted: float | None,
    section: str,
    order: Sequence[str],
    step_ns: float | None,
) -> TableRow:
    row = item.row
    failed = row.status == "failed"
    without_profile = not failed and row.error_stage == "profile"
    verdict = "failed" if failed else "control" if row.is_control else item.verdict or ""
    return TableRow(
        trial_id=row.trial_id,
        kind=_kind(item),
        section=section,
        family=family_of_row(row).name,
        cells=(
            _text(policy_words(row)),
            _number(share(row.frozen_fraction), row.frozen_fraction),
            _text(_layers(row, order)),
            _number(layer_place(row.earliest_trainable_layer), row.earliest_trainable_layer),
            _number(milliseconds(step_ns), step_ns),
            _number(ratio(row.speedup), row.speedup),
            _number(interval(row.speedup_low, row.speedup_high), row.speedup_low),
            _text(verdict),
            _number(ratio(predicted), predicted),
            _number(megabytes(row.peak_memory_bytes), row.peak_memory_bytes),
            _number(number(row.pairs), row.pairs),
        ),
        reason=_short(failure_words(row)) if failed or without_profile else "",
        link=profile_link(row) or "",
    )


def _kind(item: TrialSummary) -> str:
    if item.row.status == "failed":
        return "failed"
    if item.row.is_control:
        return "control"
    return "inside" if item.verdict == "no measurable difference" else "outside"


def profile_link(row: TrialRow) -> str | None:
    """Where TensorBoard shows a trial's profile; None where no profile was kept."""
    if not row.trace_path:
        return None
    parts = PurePosixPath(row.trace_path).parts  # tensorboard/<run>/plugins/profile/<session>/...
    if len(parts) < 6 or parts[0] != "tensorboard":
        return None
    return session_link(DEFAULT_PORT, f"{run_name(row)}/{parts[4]}")


def _text(text: str) -> TableCell:
    return TableCell(text=text, order=text.lower())


def _number(text: str, value: float | None) -> TableCell:
    return TableCell(text=text, order="" if value is None or text == DASH else value)


def _short(text: str) -> str:
    return text if len(text) <= _REASON else f"{text[:_REASON]}…"
