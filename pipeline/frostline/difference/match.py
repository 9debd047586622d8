"""Matches the ops of two trials with each other, so that no nanosecond is lost. Pure.

In: the ops of two trials. Out: changes by layer and pass. Two ops of the same layer and pass are
matched by the first of these rules that applies:

1. they have the same name and type;
2. they have the same name but different types, and each trial has one such op left (a fused
   kernel);
3. they have the same type, and names that differ only in their numbers, and both trials have
   equally many such ops left: TensorFlow numbers ops through the whole graph, so that `AddN_9` of
   one trial is `AddN_5` of another.

Ops that no rule matches vanished or appeared. An op that the other trial counts in another layer or
pass is two entries, each saying where the other one is, so that layers and passes add up.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from frostline.attribute.costs import check_conserved
from frostline.attribute.step_graph import Pass
from frostline.difference.difference import GroupChange, Op, OpChange

_NUMBER = re.compile(r"_(\d+)(?=/|$)")
_Place = tuple[str | None, Pass, str]
_Key = tuple[str | None, Pass, str, str]


def changes(a: Iterable[Op], b: Iterable[Op]) -> tuple[GroupChange, ...]:
    """Changes from A to B by layer and pass, largest first.

    Raises:
        ConservationError: they do not add up to the difference of the totals; a defect.
    """
    before, after = _by_key(a), _by_key(b)
    matched = [_both(before[key], after[key]) for key in before if key in after]
    gone = {key: op for key, op in before.items() if key not in after}
    new = {key: op for key, op in after.items() if key not in before}
    retyped = _retyped(gone, new)
    matched += [_both(gone.pop(old), new.pop(now)) for old, now in retyped]
    renumbered = _renumbered(gone, new)
    matched += [_both(gone.pop(old), new.pop(now)) for old, now in renumbered]
    there, here = _places(after.values()), _places(before.values())
    matched += [_vanished(op, there.get((op.name, op.op_type))) for op in gone.values()]
    matched += [_appeared(op, here.get((op.name, op.op_type))) for op in new.values()]
    groups = _grouped(matched)
    check_conserved(sum(op.ns for op in before.values()), [group.a_ns for group in groups])
    check_conserved(sum(op.ns for op in after.values()), [group.b_ns for group in groups])
    return groups


def _by_key(ops: Iterable[Op]) -> dict[_Key, Op]:
    """One op per key; ops on several devices, or attributed by several rules, are summed."""
    same: dict[_Key, list[Op]] = defaultdict(list)
    for op in ops:
        same[op.layer, op.pass_, op.name, op.op_type].append(op)
    return {
        key: Op(
            layer=key[0],
            pass_=key[1],
            name=key[2],
            op_type=key[3],
            ns=sum(op.ns for op in found),
            calls=sum(op.calls for op in found),
        )
        for key, found in same.items()
    }


def _retyped(gone: Mapping[_Key, Op], new: Mapping[_Key, Op]) -> list[tuple[_Key, _Key]]:
    """Pairs that differ in nothing but the type, where there is one candidate on each side."""
    by_place: dict[_Place, tuple[list[_Key], list[_Key]]] = defaultdict(lambda: ([], []))
    for side, keys in enumerate((gone, new)):
        for key in keys:
            by_place[key[:3]][side].append(key)
    return [(olds[0], nows[0]) for olds, nows in by_place.values() if len(olds) == len(nows) == 1]


def _renumbered(gone: Iterable[_Key], new: Iterable[_Key]) -> list[tuple[_Key, _Key]]:
    """Pairs that differ in nothing but the numbers in their names, ascending by these."""
    alike: dict[_Key, tuple[list[_Key], list[_Key]]] = defaultdict(lambda: ([], []))
    for side, keys in enumerate((gone, new)):
        for key in keys:
            layer, pass_, name, op_type = key
            alike[layer, pass_, _NUMBER.sub("", name), op_type][side].append(key)
    return [
        pair
        for olds, nows in alike.values()
        if len(olds) == len(nows)
        for pair in zip(sorted(olds, key=_numbers), sorted(nows, key=_numbers), strict=True)
    ]


def _numbers(key: _Key) -> list[int]:
    return [int(number) for number in _NUMBER.findall(key[2])]


def _places(ops: Iterable[Op]) -> dict[tuple[str, str], str]:
    """Where ops are counted; without numbered ops, whose numbers differ between graphs."""
    return {
        (op.name, op.op_type): f"{op.pass_} of {op.layer}" if op.layer else op.pass_
        for op in ops
        if not _NUMBER.search(op.name.rpartition("/")[2])
    }


def _both(a: Op, b: Op) -> OpChange:
    return OpChange(
        layer=a.layer,
        pass_=a.pass_,
        name=a.name,
        a_type=a.op_type,
        b_type=b.op_type,
        a_ns=a.ns,
        b_ns=b.ns,
        a_calls=a.calls,
        b_calls=b.calls,
    )


def _vanished(a: Op, elsewhere: str | None) -> OpChange:
    nothing = replace(a, ns=0, calls=0.0)
    return replace(_both(a, nothing), b_type=None, elsewhere=elsewhere)


def _appeared(b: Op, elsewhere: str | None) -> OpChange:
    nothing = replace(b, ns=0, calls=0.0)
    return replace(_both(nothing, b), a_type=None, elsewhere=elsewhere)


def _grouped(found: Sequence[OpChange]) -> tuple[GroupChange, ...]:
    groups: dict[tuple[str | None, Pass], list[OpChange]] = defaultdict(list)
    for change in found:
        groups[change.layer, change.pass_].append(change)
    whole = (
        GroupChange(layer=layer, pass_=pass_, ops=tuple(sorted(ops, key=_op_order)))
        for (layer, pass_), ops in groups.items()
    )
    return tuple(
        sorted(whole, key=lambda group: (-abs(group.change_ns), group.pass_, group.layer or ""))
    )


def _op_order(op: OpChange) -> tuple[int, str, str]:
    return (-abs(op.change_ns), op.name, op.a_type or op.b_type or "")
