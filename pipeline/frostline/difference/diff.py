"""Compares two trials of a sweep op by op.

In: a sweep and two trials. Out: `Difference`. Refuses (`UsageError`) trials that left no profile,
and, unless forced, trials of different models, settings or devices, because their ops do different
work. When forced, it says what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from os import PathLike

from frostline.analyse import GroupKey
from frostline.analyse.busy import busy_fraction
from frostline.analyse.groups import group_of
from frostline.analyse.lookup import BASELINE, KnownFacts, baseline_of, find_trial
from frostline.analyse.stored_model import facts_if_known
from frostline.attribute.costs import apportion
from frostline.attribute.rules import AHEAD, DISPATCH
from frostline.difference.difference import Clock, Difference, Op, Side
from frostline.difference.match import changes
from frostline.errors import UsageError
from frostline.store.sweep import Sweep, as_sweep
from frostline.store.trial_row import TrialRow
from frostline.words import axes_apart, duration_ns, or_not_known, policy_words

_DRIFT = 0.05


def diff(
    sweep: Sweep | str | PathLike[str],
    trial_a: str,
    trial_b: str,
    *,
    clock: Clock | None = None,
    model: str | None = None,
    force: bool = False,
) -> Difference:
    """Ops that vanished, shrank, grew or appeared from one trial to another.

    Args:
        sweep: the sweep that both belong to, or its path.
        trial_a: the first trial: its id, the start of its id, its policy, or its name in tables
            (`control 2`), with the model's before it where that is needed (`vgg16/prefix:8`);
            `baseline` is the first control that left a profile.
        trial_b: the second.
        clock: `profiled` compares op times as they were profiled; `timed` scales each profile to
            the unprofiled step (A's baseline / speedup, minus the time in which no op runs), so
            that it does not matter if the machine ran slower during one of the profiles. None:
            `timed` where both have a baseline in common and a speedup, else `profiled`.
        model: only trials of this model.
        force: compare different models, settings or devices; the notices say what differs.

    Raises:
        UsageError: no such trial, no profile, not comparable, or `timed` across baselines.
        StorageError: a table cannot be read.
    """
    sweep = as_sweep(sweep)
    rows = sweep.trial_rows()
    a, b = _both(rows, (trial_a, trial_b), model, partial(facts_if_known, sweep))
    for row in (a, b):
        _need_profile(row)
    differing = _differing(a, b)
    if differing and not force:
        raise UsageError(
            f"{policy_words(a)} ({a.trial_id}) and {policy_words(b)} ({b.trial_id}) differ in "
            f"{'; '.join(differing)}. Their ops do different work, so times cannot be compared. "
            "Choose trials of one model, setting and device, or pass --force to see them anyway."
        )
    if differing and clock == "timed":
        raise UsageError(
            "the clock `timed` needs trials with a common baseline; these differ in "
            f"{'; '.join(differing)}"
        )
    if clock is None:
        timed = not differing and a.speedup and b.speedup and a.baseline_step_ns
        clock = "timed" if timed else "profiled"
    before, after = _ops(sweep, a), _ops(sweep, b)
    notices = _unobserved(a, b)
    notices += [f"not the same work: they differ in {each}" for each in differing]
    if clock == "timed":
        before, after = _timed(before, a, a), _timed(after, b, a)
    elif not differing:
        notices += _drift(a, b, group_of(rows, a).noise_floor)
    return Difference(
        a=_side(a, before),
        b=_side(b, after),
        clock=clock,
        groups=changes(before, after),
        notices=tuple(notices),
    )


def _both(
    rows: Sequence[TrialRow], asked: tuple[str, str], model: str | None, facts_of: KnownFacts
) -> tuple[TrialRow, TrialRow]:
    """Both trials; `baseline` stands for a control of the group that the other belongs to."""
    named = [
        None if each.strip() == BASELINE else find_trial(rows, each, facts_of, model=model)
        for each in asked
    ]
    other = next((each for each in named if each is not None), None)
    a, b = (each or baseline_of(rows, other, model=model) for each in named)
    return a, b


def _need_profile(row: TrialRow) -> None:
    if row.passes_ns is not None:
        return
    said = f": {row.error_message}" if row.error_message else ""
    why = f"failed{said}" if row.status == "failed" else f"left no profile{said}"
    raise UsageError(
        f"{policy_words(row)} ({row.trial_id}) {why}; there are no ops to compare. "
        f"`frostline explain` says what is known of it."
    )


def _unobserved(a: TrialRow, b: TrialRow) -> list[str]:
    """That TensorFlow left no event of most ops, where it did."""
    if a.unobserved_ops is None or b.unobserved_ops is None:
        return []
    if not a.unobserved_ops + b.unobserved_ops:
        return []
    return [
        f"{a.unobserved_ops} ops of A and {b.unobserved_ops} of B ran and left no event, as ops do "
        "that TensorFlow deems cheap on a CPU: they are not listed, and `frostline explain` says "
        "what dispatching them takes"
    ]


def _again(row: TrialRow) -> str:
    """Advice on how to write missing ops again."""
    if row.trace_path:
        return "`frostline reattribute OUT` writes them again from the trace that was kept."
    return f"Delete tables/trials/{row.trial_id}.parquet and run the sweep again."


def _differing(a: TrialRow, b: TrialRow) -> list[str]:
    """What makes two trials incomparable, in words."""
    pairs = (
        ("model", a.model, b.model),
        *axes_apart(a.setting, b.setting),
        ("XLA", a.jit_resolved, b.jit_resolved),
        ("device", a.device_kind, b.device_kind),
    )
    return [
        f"{name} ({or_not_known(one)}, {or_not_known(other)})"
        for name, one, other in pairs
        if one != other
    ]


def _ops(sweep: Sweep, row: TrialRow) -> list[Op]:
    columns = [
        "layer", "pass", "graph_op", "op_name", "op_type", "ns_per_step", "calls_per_step", "rule",
    ]  # fmt: skip
    rows = sweep.table("op_costs", columns, trials=(row.trial_id,)).to_pylist()
    if not rows:
        raise UsageError(
            f"{policy_words(row)} ({row.trial_id}) has no rows in the table op_costs, so there are "
            f"no ops to compare. {_again(row)}"
        )
    return [
        Op(
            layer=op["layer"],
            pass_=op["pass"],
            name=op["graph_op"] or op["op_name"],
            op_type=op["op_type"],
            ns=op["ns_per_step"],
            calls=op["calls_per_step"],
        )
        for op in rows
        if op["rule"] not in (DISPATCH, AHEAD)
    ]


def _timed(ops: Sequence[Op], row: TrialRow, reference: TrialRow) -> list[Op]:
    """Op times scaled to the unprofiled step, exact in the sum."""
    if not row.speedup or not reference.baseline_step_ns:
        raise UsageError(f"the clock `timed` needs a speedup, and {row.trial_id} has none")
    step_ns = reference.baseline_step_ns / row.speedup
    busy = busy_fraction(row)
    busy_ns = round(step_ns if busy is None else step_ns * busy)
    times = apportion(busy_ns, [op.ns for op in ops])
    return [replace(op, ns=ns) for op, ns in zip(ops, times, strict=True)]


def _drift(a: TrialRow, b: TrialRow, floor: float | None) -> list[str]:
    """A notice where the machine ran at another pace in one profile than in the other.

    A profiled step times the speedup is the time that a baseline would have taken in that profile.
    """
    paces = [
        row.step_ns * row.profiler_overhead * row.speedup
        for row in (a, b)
        if row.step_ns and row.profiler_overhead and row.speedup
    ]
    if len(paces) < 2:
        return []
    ratio = max(paces) / min(paces)
    if ratio - 1 <= max(_DRIFT, floor or 0.0):
        return []
    slow = b if paces[1] > paces[0] else a
    return [
        f"the machine ran {ratio:.2f}x slower while {policy_words(slow)} was profiled (a "
        f"baseline would have taken {duration_ns(max(paces))} a step there, "
        f"{duration_ns(min(paces))} in the other): changes of that size come from the machine. "
        "without --profiled this effect is removed"
    ]


def _side(row: TrialRow, ops: Sequence[Op]) -> Side:
    return Side(
        trial_id=row.trial_id,
        policy=policy_words(row),
        setting=GroupKey.of(row).label,
        device_kind=row.device_kind,
        speedup=row.speedup,
        total_ns=sum(op.ns for op in ops),
    )
