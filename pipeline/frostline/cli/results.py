"""The result of a sweep in the terminal: per model and setting a table and the answer.

In: `Summary`, `TimeSplit`, and a training run where one is described. Out: things that Rich prints.
Eighty columns are enough: long policies fold, and reasons of failed trials are below the table. Of
very many trials only some are listed, evenly spread over the frozen fraction.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from frostline.analyse import (
    GroupSummary,
    Summary,
    TimeSplit,
    TrialSummary,
    VariantComparison,
    contrast_words,
    group_answer,
    published_table,
    variant_comparisons,
)
from frostline.analyse.variant_table import COLUMNS
from frostline.billing.run import Run
from frostline.billing.trials import trial_bills
from frostline.billing.words import bill_cells, bill_columns, measured_words
from frostline.cli.plain_table import PlainTable
from frostline.cli.tables import FittedTable
from frostline.device_id import is_cpu
from frostline.published import Published
from frostline.recommendation.first_answer import FirstAnswer, first_sentences
from frostline.reporting.page_limits import shown_trials
from frostline.store.trial_row import TrialRow
from frostline.words import (
    duration_s,
    failure_words,
    floor,
    interval,
    layer_place,
    milliseconds,
    policy_words,
    ratio,
    share,
)

_ROWS = 100
_FAILED = 20
_CONTRASTS = 8
_SHORT = {"no measurable difference": "no difference"}
_STYLES = {"faster": "green", "slower": "red", "no measurable difference": "dim"}


def result(
    summary: Summary,
    run: Run | None = None,
    firsts: Sequence[FirstAnswer | None] = (),
    published: Sequence[Published] = (),
    *,
    shown_out: str = "OUT",
) -> RenderableType:
    """What to freeze in each group, its table, failures and statistics; then what is compared.

    `run` has examples and epochs: each group also shows what it takes; None: it does not. `firsts`
    has what to freeze, by position of the group; empty: not asked. `published` are speedups to be
    shown beside the measured ones. `shown_out` is the sweep's address, for a command to copy.
    """
    contrasts = contrast_words(summary.groups, _CONTRASTS)
    return Group(
        *(
            part
            for group, first in zip_longest(summary.groups, firsts[: len(summary.groups)])
            for part in _group(group, run, first, shown_out)
        ),
        *(part for each in variant_comparisons(summary.groups) for part in _variants(each)),
        *_published(summary, published),
        *([Text("\nSettings compared", style="bold")] if contrasts else []),
        *(
            Padding(Text(words[:1].upper() + words[1:]), (0, 0, 0, 2), expand=False)
            for words in contrasts
        ),
    )


def document(
    summary: Summary, firsts: Sequence[FirstAnswer | None] = ()
) -> dict[str, list[dict[str, Any]]]:
    """The result as JSON: by model and setting what to freeze, the answer and every trial."""
    return {
        "groups": [
            {
                "model": group.key.model,
                "variant": group.key.variant,
                "setting": asdict(group.key.setting),
                "device_kind": group.device_kind,
                "baseline_step_ns": group.baseline_step_ns,
                "noise_floor": group.noise_floor,
                "is_unreadable": group.is_unreadable,
                "first_sentences": list(first_sentences(first, group)),
                "half_the_time": _half(first),
                "answer": group_answer(group),
                "trials": [_trial(item) for item in group.trials],
            }
            for group, first in zip_longest(summary.groups, firsts[: len(summary.groups)])
        ]
    }


def _half(first: FirstAnswer | None) -> dict[str, Any] | None:
    """What to freeze for half the step time; null where there is no cost model."""
    if first is None or first.found is None:
        return None
    found = first.found
    return {
        "is_reached": first.halves,
        "policy": found.answer.policy,
        "frozen_layers": list(found.pick.frozen_layers),
        "numbers": list(first.numbers_of(found.pick.frozen_layers)),
        "predicted_share": found.pick.share,
        "predicted_speedup": found.answer.predicted_speedup,
        "low": found.answer.low,
        "high": found.answer.high,
        "kept": found.pick.kept,
        "most": first.most,
        "held_out_error": None if first.error is None else first.error.mean_abs,
        "held_out": 0 if first.error is None else first.error.count,
        "code": found.code,
    }


def _trial(item: TrialSummary) -> dict[str, Any]:
    row = item.row
    return {
        "trial_id": row.trial_id,
        "policy": row.policy,
        "is_control": row.is_control,
        "replicate": row.replicate,
        "status": row.status,
        "verdict": item.verdict,
        "frozen_fraction": row.frozen_fraction,
        "step_ns": row.step_ns,
        "speedup": row.speedup,
        "speedup_low": row.speedup_low,
        "speedup_high": row.speedup_high,
        "error": failure_words(row) if row.status == "failed" else None,
    }


def _variants(compared: VariantComparison) -> Iterator[RenderableType]:
    yield Text(f"\n{compared.title}: variants compared", style="bold")
    yield PlainTable(COLUMNS, list(compared.cells())[:_ROWS])
    yield Text(f"{compared.words()} Noise floor {floor(compared.noise_floor)}.".strip())


def _published(summary: Summary, points: Sequence[Published]) -> Iterator[RenderableType]:
    if not points:
        return
    rows = [item.row for group in summary.groups for item in group.trials]
    yield Text("\nPublished", style="bold")
    yield PlainTable(published_table.COLUMNS, published_table.published_cells(points, rows))
    for said in published_table.published_sentences(points):
        yield Padding(Text(said), (0, 0, 0, 2), expand=False)


def time_words(split: TimeSplit) -> str:
    """Where the time of a run went, in one line."""
    parts = [
        ("stepping", split.stepping_s + split.check_s + split.profile_s),
        ("building", split.build_s),
        ("compiling", split.compile_s),
        ("converting profiles", split.convert_s),
    ]
    said = [f"{name} {duration_s(seconds)}" for name, seconds in parts]
    if split.rest_s is not None:
        said.append(f"rest {duration_s(split.rest_s)}")
    slots = "" if split.slots == 1 else f" on {split.slots} devices"
    overhead = split.overhead_fraction
    also = "" if overhead is None else f"; overhead {share(overhead)}"
    return f"{duration_s(split.wall_s)}{slots}: {', '.join(said)}{also}."


def device_words(rows: Iterable[TrialRow]) -> str:
    """What measured, in one line for each kind of device; empty where nothing was measured."""
    found: dict[tuple[bool, str], int] = {}
    for row in rows:
        if row.device_id is not None and row.speedup is not None:
            kind = (is_cpu(row.device_id), row.device_kind or "unknown")
            found[kind] = found.get(kind, 0) + 1
    return "\n".join(
        f"Measured on {'CPU cores, no GPU' if on_cpu else 'GPUs'}: {name} ({count} trials)."
        for (on_cpu, name), count in sorted(found.items())
    )


def _group(
    group: GroupSummary, run: Run | None, first: FirstAnswer | None, shown_out: str
) -> Iterator[RenderableType]:
    yield Text(f"\n{group.title}", style="bold")
    if said := first_sentences(first, group):
        yield Text("\n" + said[0], style="bold")
        yield from map(Text, said[1:])
        if first is not None and first.found is not None and first.found.pick.frozen_layers:
            yield Text(
                "What freezing costs in accuracy is not measured. Keras code and other budgets: "
                f"frostline recommend {shlex.quote(shown_out)} --budget 0.5"
            )
        yield Text()
    elif group.is_unreadable:
        yield Text("\n" + group_answer(group) + "\n", style="bold")
    yield _table(group)
    for row in group.failed[:_FAILED]:
        reason = Text(f"{policy_words(row)} {failure_words(row)}", style="red")
        yield Padding(reason, (0, 0, 0, 2), expand=False)
    more = len(group.trials) - len(shown_trials(group, _ROWS))
    if more > 0:
        yield Text(f"{more} more trials are not listed here; the answer counts them.")
    yield Text(
        f"Noise floor {floor(group.noise_floor)}. Layers count from 1 at the input. Step: the "
        "baseline's median / the speedup, as each trial was timed beside a baseline of its own.\n"
    )
    if not group.is_unreadable:
        yield Text(group_answer(group))
    if run is not None:
        yield from _bills(group, run)


def _bills(group: GroupSummary, run: Run) -> Iterator[RenderableType]:
    bills = trial_bills([item.row for item in group.trials], run, group.control_rows)
    if not bills:
        return
    columns = bill_columns(bills.values())
    rows = [item.row for item in shown_trials(group, _ROWS) if item.row.trial_id in bills]
    yield Text()
    yield PlainTable(
        ("policy", *columns),
        ((policy_words(row), *bill_cells(bills[row.trial_id], columns)) for row in rows),
    )
    yield Text(measured_words(bills.values(), run))


def _table(group: GroupSummary) -> FittedTable:
    return FittedTable(
        ("policy", "frozen", "trains\nfrom", "step\nms", "speedup", "95%\ninterval", "verdict"),
        (_cells(item, group) for item in shown_trials(group, _ROWS)),
        words=(6,),
        goes=(2, 3, 5, 1, 6, 4),
    )


def _cells(item: TrialSummary, group: GroupSummary) -> tuple[str | Text, ...]:
    row = item.row
    cells = (policy_words(row), share(row.frozen_fraction))
    place = layer_place(row.earliest_trainable_layer)
    if row.status == "failed":
        return (*cells, place, "", "", "", Text("failed", style="red"))
    if row.is_control:
        word = Text("control", style="dim")
    else:
        said = item.verdict or "not measured"
        word = Text(_SHORT.get(said, said), style=_STYLES.get(said, ""))
    return (
        *cells,
        place,
        milliseconds(group.step_ns(row)),
        ratio(row.speedup),
        interval(row.speedup_low, row.speedup_high),
        word,
    )
