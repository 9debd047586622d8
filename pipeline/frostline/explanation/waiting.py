"""The rules about the time in which no op runs: how much it is, and what it is waited for.

A rule is a function from a `Case` to a `Reason`, or to None when it does not hold. docs/explain.md
states each in words. Waits are shared out as the profile shows them; on a CPU without XLA by the
number of ops that ran, which is a model. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from frostline.analyse.dispatch import may_compile, more_per_dispatch
from frostline.analyse.profiles import ProfileCell, Waits
from frostline.analyse.waits import HOST_BOUND, LABELS
from frostline.device_id import is_cpu
from frostline.explanation.case import Case
from frostline.explanation.explanation import Quantity, Reason
from frostline.explanation.ledger import WAITING, Ledger
from frostline.words import counted, duration_ns, percent

NAMED = 0.02
"""The least share of the trial's step at which a remaining part is named."""
_SHOWN = 3
_BETWEEN = "between steps"
_UPDATE = "the update"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitGroup:
    """Ops that the device waits for: the update, or all layers of a kind.

    Attributes:
        name: in words.
        wait_ns: nanoseconds of the unprofiled step.
        calls, short_calls: of its ops per step; see `Waits`.
    """

    name: str
    wait_ns: int
    calls: float
    short_calls: float


def wait_groups(case: Case, ledger: Ledger) -> list[WaitGroup]:
    """What a step waits for, the longest first; empty where that is not known."""
    name_of = _namer(case)
    waits: dict[str, int] = {}
    launched: dict[str, Waits] = {}
    for cell, ns in ledger.waits.items():
        name = name_of(cell)
        waits[name] = waits.get(name, 0) + ns
    for cell, wait in case.launches.items():
        name = name_of(cell)
        launched[name] = wait + launched[name] if name in launched else wait
    nothing = Waits(wait_ns=0, calls=0.0, short_calls=0.0)
    groups = [
        WaitGroup(
            name=name,
            wait_ns=ns,
            calls=launched.get(name, nothing).calls,
            short_calls=launched.get(name, nothing).short_calls,
        )
        for name, ns in waits.items()
        if ns
    ]
    return sorted(groups, key=lambda group: (-group.wait_ns, group.name))


def device_waits(case: Case) -> Reason | None:
    """No op runs during part of the step; from `HOST_BOUND` on the step is called host-bound."""
    step_ns = case.step_ns
    share_ns = case.remaining("waiting")
    if not step_ns or case.trial is None or share_ns < NAMED * step_ns:
        return None
    bound = share_ns >= HOST_BOUND * step_ns
    change = case.change(lambda cell: cell.pass_ is None)
    before = f" ({duration_ns(change.baseline_ns)} in the baseline)" if change else ""
    groups = wait_groups(case, case.trial)
    text = (
        f"{'the step is host-bound: ' if bound else ''}during {percent(share_ns / step_ns)} of it "
        f"no op runs{before}"
    )
    on_host = is_cpu(case.row.device_id or "")
    if groups:
        text += "; " + ("by the number of ops that ran, " if _modelled(case) else "it waits ")
        text += ", ".join(_words(group, on_host=on_host) for group in groups[:_SHOWN])
    return Reason(
        kind="host_bound" if bound else "device_waits",
        effect="remains",
        share_ns=share_ns,
        text=text,
        figures=(
            Quantity(name="busy", value=step_ns - share_ns, unit="ns"),
            Quantity(name="waiting", value=share_ns, unit="ns"),
            *(
                Quantity(name=f"wait: {each.name}", value=each.wait_ns, unit="ns")
                for each in groups
            ),
            *(Quantity(name=f"ops: {each.name}", value=each.calls, unit="1") for each in groups),
            *(
                Quantity(name=f"short ops: {each.name}", value=each.short_calls, unit="1")
                for each in groups
                if not on_host
            ),
        ),
        advice=_advice(case, groups) if bound else "",
    )


def waiting_changed(case: Case) -> Reason | None:
    """The device waits less or more than in the baseline."""
    found = case.change(lambda cell: cell.pass_ is None)
    if found is None or not case.differs or not found.is_real:
        return None
    less = found.saved_ns > 0
    text = f"no op runs during {'less' if less else 'more'} of the step"
    if changes := _changes(case, less=less):
        text += ": " + ", ".join(changes)
    elif less:
        text += ": there is less to dispatch, or the machine was doing less beside it"
    else:
        text += (
            ": the device's work got shorter and the host's work for it did not, or the machine "
            "was doing more beside it"
        )
    return Reason(
        kind="waiting_changed",
        effect="saved",
        share_ns=found.saved_ns,
        text=text,
        figures=found.figures("waiting"),
    )


def _changes(case: Case, *, less: bool) -> list[str]:
    """The groups whose waits changed most, in words; empty where it is not known whose they are."""
    if case.baseline is None or case.trial is None:
        return []
    after = {group.name: group.wait_ns for group in wait_groups(case, case.trial)}
    before = {group.name: group.wait_ns for group in wait_groups(case, case.baseline)}
    if not after or not before:
        return []
    saved = {
        name: before.get(name, 0) - after.get(name, 0)
        for name in (*before, *(after.keys() - before))
    }
    ranked = sorted(saved.items(), key=lambda item: -item[1] if less else item[1])
    word = "less" if less else "more"
    return [
        f"{duration_ns(abs(ns))} {word} {_place(name)}"
        for name, ns in ranked[:_SHOWN]
        if ns and (ns > 0) == less
    ]


def _namer(case: Case) -> Callable[[ProfileCell], str]:
    kinds: Mapping[str, str] = {layer.layer: layer.kind for layer in case.layers}

    def name(cell: ProfileCell) -> str:
        if cell == WAITING:
            return _BETWEEN
        if cell.pass_ == "optimizer":
            return _UPDATE
        if cell.pass_ == "input" or (cell.pass_ == "other" and cell.layer is None):
            return LABELS[cell.pass_]
        if cell.layer is None:
            return "ops outside of layers"
        return kinds.get(cell.layer, "layers without weights")

    return name


def _place(name: str) -> str:
    return name if name == _BETWEEN else f"before {name}"


def _words(group: WaitGroup, *, on_host: bool) -> str:
    text = f"{duration_ns(group.wait_ns)} {_place(group.name)}"
    if not round(group.calls):
        return text
    text += f" ({counted(round(group.calls), 'op' if on_host else 'kernel')} a step"
    if not on_host:
        text += f", {round(group.short_calls)} of them shorter than 5 µs"
    return text + ")"


def _modelled(case: Case) -> bool:
    """On a host whose executor ran the step op by op, whose wait it is is a model."""
    return is_cpu(case.row.device_id or "") and case.row.unobserved_ops is not None


def _advice(case: Case, groups: list[WaitGroup]) -> str:
    compiling_helps = may_compile(case.row)
    larger = more_per_dispatch(compiling_helps=compiling_helps)
    if groups and groups[0].name == _UPDATE:
        fewer = sum(layer.mode == "trainable" for layer in case.layers) > 1
        ways = ["fewer variables that train launch fewer"] if fewer else []
        ways += ["jit_compile = true fuses them"] if compiling_helps else []
        larger = (
            "The update launches a few ops for each variable that trains, however small"
            f"{': ' if ways else ''}{', '.join(ways)}. A larger batch makes them weigh less"
        )
    return f"{larger}; where the study feeds its own `data`, see whether that keeps up."
