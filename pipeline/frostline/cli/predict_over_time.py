"""What `frostline predict` shows of freezing over time, and of training on stored outputs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.text import Text

from frostline.cli.console import note, out
from frostline.cli.documents import print_document
from frostline.cli.plain_table import PlainTable
from frostline.errors import UsageError
from frostline.words import DASH, milliseconds, ratio, size

if TYPE_CHECKING:
    from frostline.billing import Run
    from frostline.prediction import CachedFeatures, ScheduleCost

STUDYS_OWN = "study"


def parsed_schedule(stages: Sequence[str]) -> list[tuple[int, str]] | None:
    """`1:none`, `4:prefix:8` as pairs; None for the study's own.

    Raises:
        UsageError: a stage is not written so.
    """
    if list(stages) == [STUDYS_OWN]:
        return None
    found = []
    for stage in stages:
        epoch, colon, policy = stage.partition(":")
        if not colon or not epoch.strip().isdecimal() or not policy.strip():
            raise UsageError(
                f"--schedule {stage}: write the epoch from which it holds, counted from 1, and the "
                f"policy, such as 4:prefix:8; or `{STUDYS_OWN}` for the study's own"
            )
        found.append((int(epoch), policy.strip()))
    return found


def show_schedules(
    sweep: str, stages: Sequence[str], *, model: str | None, run: Run, as_json: bool
) -> None:
    """Print what a schedule takes in every model and setting."""
    from frostline.prediction import predict_schedule

    found, notices = predict_schedule(sweep, parsed_schedule(stages), model=model, run=run)
    for notice in notices:
        note(notice)
    if as_json:
        print_document("predict", [cost.document() for cost in found])
        return
    for cost in found:
        _print_schedule(cost)


def show_cached(
    sweep: str,
    policies: Sequence[str],
    *,
    model: str | None,
    run: Run,
    bandwidth: float | None,
    as_json: bool,
) -> None:
    """Print what training on stored outputs gives in every model and setting."""
    from frostline.prediction import predict_cached

    found, notices = predict_cached(
        sweep,
        policies,
        model=model,
        run=run,
        bandwidth=None if bandwidth is None else bandwidth * 1e6,
    )
    for notice in notices:
        note(notice)
    if as_json:
        print_document("predict", [each.document() for each in found])
        return
    for _, group in groupby(found, key=lambda each: each.title):
        _print_cached(list(group))


def _print_schedule(cost: ScheduleCost) -> None:
    from frostline.prediction.schedule_words import COLUMNS, schedule_cells, schedule_sentence

    out().print(Text(f"\n{cost.title}", style="bold"))
    out().print(PlainTable(COLUMNS, schedule_cells(cost)))
    out().print(Text(f"{schedule_sentence(cost)}\n"))


def _print_cached(group: Sequence[CachedFeatures]) -> None:
    out().print(Text(f"\n{group[0].title}", style="bold"))
    rows = [
        (
            each.policy,
            milliseconds(each.step_ns),
            milliseconds(each.cached_step_ns),
            ratio(each.speedup),
            DASH if each.bytes_per_example is None else size(each.bytes_per_example),
            DASH if each.bytes_per_second is None else f"{size(round(each.bytes_per_second))}/s",
            DASH if each.pays_after_epochs is None else f"{each.pays_after_epochs:.1f}",
        )
        for each in group
    ]
    columns = ("policy", "step ms", "stored ms", "speedup", "an example", "to read", "pays after")
    out().print(PlainTable(columns, rows))
    for each in group:
        if each.why_not is not None:
            out().print(Text(f"{each.policy} is not advised: {each.why_not}."))
    said = (
        "Stored ms: the step without the frozen prefix's forward pass, waiting for what it reads. "
        "To read: bytes a second without which it waits. Pays after: epochs until storing has cost "
        "less, the pass that fills the store included. What `data` changes from epoch to epoch "
        "cannot be seen here."
    )
    out().print(Text(f"{said}\n"))
