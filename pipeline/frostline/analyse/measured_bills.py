"""What a training run takes in each measured trial of a sweep.

In: a sweep and a run. Out: `Bills`. Refuses a run whose examples or epochs are not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike

from frostline.analyse.groups import trial_groups
from frostline.analyse.stored_run import run_of
from frostline.analyse.summary import summarise
from frostline.billing.bill import Bill
from frostline.billing.run import Run
from frostline.billing.trials import trial_bills
from frostline.billing.words import bill_cells, bill_columns, measured_words, run_words
from frostline.errors import UsageError
from frostline.notebook import html_table, html_text, one_line
from frostline.store.sweep import Sweep, as_sweep
from frostline.store.trial_row import TrialRow
from frostline.words import policy_words


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialBill:
    """A measured trial, and what the run takes in its configuration."""

    row: TrialRow
    bill: Bill


@dataclass(frozen=True, slots=True, kw_only=True)
class Bills:
    """What a run takes in each measured trial of a sweep; a sequence of them.

    Attributes:
        run: the run.
        found: in the order of models and settings, and of the frozen fraction within each.
    """

    run: Run
    found: tuple[TrialBill, ...]

    def __iter__(self) -> Iterator[TrialBill]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, number: int) -> TrialBill:
        return self.found[number]

    def __repr__(self) -> str:
        models = {each.row.model: None for each in self.found}
        return one_line(
            "Bills", run_words(self.run), {"trials": str(len(self)), "of": ", ".join(models)}
        )

    def _repr_html_(self) -> str:
        bills = {each.row.trial_id: each.bill for each in self.found}
        columns = bill_columns(bills.values())
        tables = (
            html_table(
                ("policy", *columns),
                [
                    (policy_words(row), *bill_cells(bills[row.trial_id], columns))
                    for row in group.rows
                ],
                caption=group.title,
            )
            for group in trial_groups(each.row for each in self.found)
        )
        words = measured_words((each.bill for each in self.found), self.run)
        return "".join([*tables, html_text(words)])


def bill(sweep: Sweep | str | PathLike[str], run: Run | None = None) -> Bills:
    """Tell what a training run takes in each measured trial: hours, energy, money.

    Args:
        sweep: the sweep, or its path.
        run: where it says nothing, `[run]` of the study does.

    Raises:
        UsageError: neither says how many examples and epochs the run has.
        SweepError: OUT is no sweep, or `[run]` in its study is wrong.
        StorageError: OUT cannot be read.
    """
    sweep = as_sweep(sweep)
    wanted = run_of(sweep, run)
    if wanted is None:
        raise UsageError(
            "no run is described: pass Run(examples=..., epochs=...), or set both under [run] in "
            "the study"
        )
    found = []
    for group in summarise(sweep.trial_rows()).groups:
        rows = [item.row for item in group.trials]
        bills = trial_bills(rows, wanted, group.control_rows)
        found += [
            TrialBill(row=row, bill=bills[row.trial_id]) for row in rows if row.trial_id in bills
        ]
    return Bills(run=wanted, found=tuple(found))
