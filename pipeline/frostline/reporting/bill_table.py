"""The table of what a training run takes in each shown trial of a section. Pure.

In: a group, the trials that the page shows, and a run. Out: `BillTable`, of text as it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from frostline.analyse import GroupSummary, TrialSummary
from frostline.billing.run import Run
from frostline.billing.trials import trial_bills
from frostline.billing.words import bill_cells, bill_columns, measured_words
from frostline.words import policy_words, ratio, share

_HEADINGS = {"hours": "Hours", "kWh": "kWh", "cost": "Cost"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BillTable:
    """A table of bills.

    Attributes:
        words: what is billed, and where its energy comes from.
        columns: headings; that of the policy comes first.
        rows: cells, one for each heading.
    """

    words: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def bill_table(
    group: GroupSummary, shown: Sequence[TrialSummary], run: Run | None
) -> BillTable | None:
    """What the run takes in each shown trial; None without a run, or where nothing was measured.

    `run` has examples and epochs.
    """
    bills = (
        {}
        if run is None
        else trial_bills([item.row for item in group.trials], run, group.control_rows)
    )
    rows = [item.row for item in shown if item.row.trial_id in bills]
    if run is None or not rows:
        return None
    columns = bill_columns(bills.values())
    return BillTable(
        words=measured_words(bills.values(), run),
        columns=("Policy", "Frozen", "Speedup", *(_HEADINGS[name] for name in columns)),
        rows=tuple(
            (
                policy_words(row),
                share(row.frozen_fraction),
                ratio(row.speedup),
                *bill_cells(bills[row.trial_id], columns),
            )
            for row in rows
        ),
    )
