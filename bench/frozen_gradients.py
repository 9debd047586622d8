"""Is any time credited to a frozen variable's gradient? `python bench/frozen_gradients.py OUT ...`

Reads finished sweeps as any reader does, and asks of every trial's profiled ops: does a weight
gradient belong to a layer with nothing left to train, or to an op that the trial's graph needs for
a frozen variable, or for none? One line an OUT; exit code 1 where there is such an op.

The program refuses such rows itself (`frostline.attribute.frozen`). This asks the tables, whichever
version wrote them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from frostline.errors import FrostlineError
from frostline.store.sweep import open_sweep

ROWS = """
FROM op_costs AS c
JOIN trials AS t USING (trial_id)
LEFT JOIN graph_ops AS g ON g.trial_id = c.trial_id AND g.op_name = c.graph_op
WHERE c.pass = 'weight_gradient'
"""
WRONG = """
coalesce(list_contains(t.frozen_layers, c.layer), false)
    OR (g.needed_by IS NOT NULL
        AND (len(g.needed_by) = 0 OR list_has_any(g.needed_by, t.frozen_variables)))
"""
COUNTED = f"""
SELECT count(DISTINCT c.trial_id), count(*), sum(c.ns_per_step)::BIGINT,
    count(DISTINCT c.trial_id) FILTER (len(t.frozen_variables) > 0),
    count(*) FILTER ({WRONG}), coalesce(sum(c.ns_per_step) FILTER ({WRONG}), 0)::BIGINT
{ROWS}
"""
WORST = f"""
SELECT t.trial_id, t.policy, c.layer, c.op_name, c.rule, c.ns_per_step {ROWS} AND ({WRONG})
ORDER BY c.ns_per_step DESC LIMIT 5
"""
OF_LAYERS = """
SELECT count(*) FROM layers WHERE NOT trainable AND weight_gradient_ns > 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credited:
    """What a sweep's tables say of weight gradients.

    Attributes:
        trials: trials with a weight gradient.
        freezing: of them, those that freeze something.
        ops: their profiled weight-gradient ops.
        total_ns: time of these, per step, summed over the trials.
        wrong_ops, wrong_ns: the part that is credited to what is frozen.
        wrong_layers: rows of `layers` that say so.
        worst: the largest of them, in words.
    """

    trials: int
    freezing: int
    ops: int
    total_ns: int
    wrong_ops: int
    wrong_ns: int
    wrong_layers: int
    worst: tuple[str, ...]


def credited(out: str) -> Credited:
    """Ask one sweep.

    Raises:
        SweepError: OUT is no sweep.
    """
    sweep = open_sweep(out)
    trials, ops, total_ns, freezing, wrong_ops, wrong_ns = sweep.sql(COUNTED).fetchall()[0]
    (wrong_layers,) = sweep.sql(OF_LAYERS).fetchall()[0]
    return Credited(
        trials=trials,
        freezing=freezing,
        ops=ops,
        total_ns=total_ns or 0,
        wrong_ops=wrong_ops,
        wrong_ns=wrong_ns,
        wrong_layers=wrong_layers,
        worst=tuple(
            f"{trial_id} ({policy}): {ns} ns for {op_name} of {layer}, rule {rule}"
            for trial_id, policy, layer, op_name, rule, ns in sweep.sql(WORST).fetchall()
        ),
    )


def main(*outs: str) -> int:
    """Ask each sweep; print a table and the worst cases."""
    table = Table(title="Time credited to gradients of frozen variables", box=None, pad_edge=False)
    for column in (
        "sweep",
        "trials",
        "that freeze",
        "dW ops",
        "dW time",
        "frozen ops",
        "their time",
    ):
        table.add_column(column, justify="left" if column == "sweep" else "right")
    worst: list[str] = []
    for out in outs:
        try:
            found = credited(out)
        except FrostlineError as error:
            table.add_row(out, f"[dim]{error}[/dim]")
            continue
        table.add_row(
            out, str(found.trials), str(found.freezing), str(found.ops),
            f"{found.total_ns / 1e6:.1f} ms", str(found.wrong_ops + found.wrong_layers),
            f"{found.wrong_ns} ns",
        )  # fmt: skip
        worst += [f"{out}: {line}" for line in found.worst]
        if found.wrong_layers:
            worst.append(f"{out}: {found.wrong_layers} rows of layers")
    console = Console(width=140)
    console.print(table)
    for line in worst:
        console.print(line, style="red")
    return 1 if worst else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
