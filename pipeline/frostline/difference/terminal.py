"""A difference in the terminal: largest changes first, by layer and pass, in columns that add up.

In: `Difference` and how many ops to list. Out: things that Rich prints; eighty columns are enough.
Ops that are not listed are summed in rows of their own, so that every column adds up to its total.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from frostline.difference.difference import CHANGE_KINDS, Difference, GroupChange, OpChange, Side
from frostline.words import counted, rounded_ms

_STYLES = {"vanished": "green", "shrank": "green", "grew": "red", "appeared": "red"}
_COPY = re.compile(r"_\d+$")


def rendered(difference: Difference, *, top: int) -> RenderableType:
    """The whole difference with `top` ops at most; 0 lists the groups of layer and pass alone."""
    return Group(*_parts(difference, top))


def _parts(difference: Difference, top: int) -> Iterator[RenderableType]:
    yield _side("A", difference.a)
    yield _side("B", difference.b)
    if difference.a.setting == difference.b.setting:
        device = f", on {difference.a.device_kind}" if difference.a.device_kind else ""
        yield Text(f"   {difference.a.setting}{device}", style="dim")
    for notice in difference.notices:
        yield Text.assemble(("\nnote: ", "yellow"), notice, ".")
    yield Text("\n" + _counts(difference))
    yield _table(difference, top)
    clock = (
        "Profiled op time per step"
        if difference.clock == "profiled"
        else "Op time scaled to the unprofiled step of A's baseline"
    )
    yield Text(f"{clock}, ms; change is B minus A. --json lists every op.", style="dim")


def _side(letter: str, side: Side) -> Text:
    speedup = f"  {side.speedup:.2f}x" if side.speedup is not None else ""
    return Text.assemble((f"{letter}  {side.policy}", "bold"), f"  {side.trial_id}{speedup}")


def _counts(difference: Difference) -> str:
    digits = _digits(difference)
    found = difference.by_kind()
    said = [
        f"{count} {kind} ({rounded_ms(change_ns, digits, signed=True)} ms)"
        if change_ns
        else f"{count} {kind}"
        for kind in CHANGE_KINDS
        if (count := found[kind][0])
        for change_ns in (found[kind][1],)
    ]
    return f"Ops: {', '.join(said) or 'none'}."


def _table(difference: Difference, top: int) -> Table:
    digits = _digits(difference)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_footer=True)
    table.add_column("layer and pass, op", "all ops", overflow="fold", ratio=1)
    for name, ns, signed in (
        ("A", difference.a.total_ns, False),
        ("B", difference.b.total_ns, False),
        ("change", difference.change_ns, True),
    ):
        footer = rounded_ms(ns, digits, signed=signed)
        table.add_column(name, footer, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)

    def add(label: Text, parts: Sequence[OpChange | GroupChange], word: str, style: str) -> None:
        table.add_row(
            label,
            rounded_ms(sum(part.a_ns for part in parts), digits),
            rounded_ms(sum(part.b_ns for part in parts), digits),
            rounded_ms(sum(part.change_ns for part in parts), digits, signed=True),
            Text(word, style=_STYLES.get(word, "dim")),
            style=style,
        )

    listed = _listed(difference, top)
    others = []
    for group in difference.groups:
        ops = [op for op in group.ops if id(op) in listed]
        if not ops and top:
            others.append(group)
            continue
        add(Text(group.label), [group], "", "bold")
        for op in ops:
            add(Text(f"  {_op_label(op)}"), [op], op.kind, "")
        rest = [op for op in group.ops if id(op) not in listed]
        if rest and ops:
            add(Text(f"  {counted(len(rest), 'other op')}"), rest, "", "dim")
    if others:
        number = sum(len(group.ops) for group in others)
        label = f"{counted(number, 'op')} of {counted(len(others), 'other group')}"
        add(Text(label), others, "", "dim")
    return table


def _listed(difference: Difference, top: int) -> set[int]:
    """Identities of the ops with the largest changes."""
    ops = [op for group in difference.groups for op in group.ops if op.change_ns]
    ops.sort(key=lambda op: -abs(op.change_ns))
    return {id(op) for op in ops[:top]}


def _op_label(op: OpChange) -> str:
    """The name below the layer's scope, and the type where the name does not tell it."""
    name = _below_layer(op.name, op.layer)
    types = [one for one in dict.fromkeys((op.a_type, op.b_type)) if one]
    last = _COPY.sub("", name.rpartition("/")[2])
    told = len(types) == 1 and (not types[0] or last in types[0] or types[0] in last)
    label = name if told else f"{name} ({' → '.join(types)})"
    return f"{label}, there {op.elsewhere}" if op.elsewhere else label


def _below_layer(name: str, layer: str | None) -> str:
    """`moments/mean` of `functional_1/block1_norm_1/moments/mean`; all of it where it has none."""
    parts = name.split("/")
    own = (layer or "").rpartition("/")[2]
    below = [
        at + 1 for at, part in enumerate(parts[:-1]) if own and own in (part, _COPY.sub("", part))
    ]
    return "/".join(parts[below[-1] :] if below else parts)


def _digits(difference: Difference) -> int:
    total_ms = max(difference.a.total_ns, difference.b.total_ns) / 1e6
    return 1 if total_ms >= 1000 else 2 if total_ms >= 10 else 3 if total_ms >= 0.1 else 6
