"""The rules for the time that the trial's step still takes, and for what the tables cannot tell.

A rule is a function from a `Case` to a `Reason`, or to None when it does not hold. docs/explain.md
states each in words. Shares are disjoint parts of the trial's step. Pure.
"""

from __future__ import annotations

from frostline.analyse.waits import INPUT_BOUND
from frostline.explanation.case import Case, Rule
from frostline.explanation.explanation import PartKind, Quantity, Reason
from frostline.explanation.waiting import NAMED, device_waits
from frostline.listing import listed
from frostline.store.trial_row import RUNS_EAGERLY
from frostline.words import counted, duration_ns, layer_number, percent

UNATTRIBUTED = 0.10
_REMOVABLE: tuple[PartKind, ...] = (
    "dx_pruned", "dx_through", "dx_trainable", "dx_elsewhere",
    "dw_frozen", "dw_trainable", "dw_elsewhere", "update",
)  # fmt: skip
DOMINATES = 0.50


def gradient_flows_through(case: Case) -> Reason | None:
    """A gradient passes frozen layers on its way to layers before them that still train."""
    share_ns = case.remaining("dx_through")
    through = [layer for layer in case.layers if layer.mode == "pass_through"]
    first = case.first_trainable
    if case.share(share_ns) < NAMED or not through or first is None:
        return None
    last = through[-1]
    beyond = any(layer.mode == "trainable" and layer.index > last.index for layer in case.layers)
    names = [layer.layer for layer in through]
    return Reason(
        kind="gradient_flows_through",
        effect="remains",
        share_ns=share_ns,
        text=(
            f"the gradient still flows through {counted(len(through), 'layer')} that "
            f"{'is' if len(through) == 1 else 'are'} frozen ({listed(names)}), down to "
            f"{first.shown}, which trains"
        ),
        figures=(
            Quantity(name="frozen layers it flows through", value=len(through), unit="layers"),
            Quantity(name="dX in them", value=share_ns, unit="ns"),
            Quantity(name="first layer that trains", value=first.layer, unit=""),
        ),
        advice=(
            f"Freeze the layers before them that still train as well, so that layers 1 to "
            f"{layer_number(last.index)} are frozen: then no gradient enters them."
            if beyond
            else "Freeze from the input on instead, and train the last layers: a gradient that has "
            "to reach the first ones passes all of them."
        ),
    )


def still_trains(case: Case) -> Reason | None:
    """Gradients of the layers that train."""
    kinds: tuple[PartKind, ...] = ("dx_trainable", "dw_trainable")
    share_ns = case.remaining(*kinds)
    if case.share(share_ns) < NAMED:
        return None
    dearest = case.by_layer(*kinds)
    shown = ", ".join(f"{layer} {duration_ns(ns)}" for layer, ns in dearest[:3])
    training = sum(layer.mode == "trainable" for layer in case.layers)
    return Reason(
        kind="still_trains",
        effect="remains",
        share_ns=share_ns,
        text=(
            f"gradients of the {counted(training, 'layer')} that "
            f"train{'s' if training == 1 else ''}: "
            f"dX {duration_ns(case.remaining('dx_trainable'))}, "
            f"dW {duration_ns(case.remaining('dw_trainable'))}; dearest: {shown}"
        ),
        figures=(
            Quantity(name="layers that train", value=training, unit="layers"),
            *(Quantity(name=layer, value=ns, unit="ns") for layer, ns in dearest[:3]),
        ),
    )


def forward_dominates(case: Case) -> Reason | None:
    """The forward pass is half of the step or more; freezing leaves it in place."""
    share_ns = case.remaining("forward")
    share = case.share(share_ns)
    if share < DOMINATES:
        return None
    return Reason(
        kind="forward_dominates",
        effect="remains",
        share_ns=share_ns,
        text=(
            f"the forward pass is {percent(share)} of what is left, and freezing does not remove it"
        ),
        figures=(Quantity(name="forward", value=share_ns, unit="ns"), _share_of_step(share)),
        advice=_beside_freezing(case),
    )


def _beside_freezing(case: Case) -> str:
    """What freezing more could still remove, and what helps against the forward pass."""
    gone_ns = case.remaining(*_REMOVABLE)
    prefix = case.frozen_prefix_length
    kept = (
        f"The outputs of the frozen layers 1 to {prefix} can be computed once and kept; smaller"
        if prefix > 1
        else "Smaller"
    )
    return (
        f"Gradients and update still take {percent(case.share(gone_ns))}, the most that freezing "
        f"more can remove. {kept} inputs or another precision make the forward pass cheaper."
    )


def communication(case: Case) -> Reason | None:
    """Replicas exchange gradients or statistics."""
    share_ns = case.remaining("communication")
    if len(case.devices) < 2 and case.share(share_ns) < NAMED:
        return None
    found = case.change(lambda cell: cell.exchange)
    before = f", {duration_ns(found.baseline_ns)} in the baseline" if found else ""
    several = f"{len(case.devices)} devices"
    text = (
        f"exchange between {several}{before}: gradients of frozen variables are not exchanged"
        if share_ns
        else f"the profile covers {several}, but names no op that exchanges values between them; "
        "exchange by plain copies counts with the pass that copies"
    )
    return Reason(
        kind="communication",
        effect="remains",
        share_ns=share_ns or None,
        text=text,
        figures=(Quantity(name="devices", value=len(case.devices), unit="1"),),
        advice="A larger batch per device exchanges less often for the same examples.",
    )


def input_bound(case: Case) -> Reason | None:
    """Input ops are a large part of the step."""
    share_ns = case.remaining("input")
    share = case.share(share_ns)
    if share < INPUT_BOUND:
        return None
    return Reason(
        kind="input_bound",
        effect="remains",
        share_ns=share_ns,
        text=(
            f"the step is input-bound: reading and copying batches is "
            f"{percent(share)} of it, whatever is frozen"
        ),
        figures=(Quantity(name="input", value=share_ns, unit="ns"), _share_of_step(share)),
        advice="Cache, parallelise or prefetch in the study's `data` (tf.data's own guide).",
    )


def unattributed(case: Case) -> Reason | None:
    """A large part of the ops could not be attributed to a pass."""
    share_ns = case.remaining("other", "dx_elsewhere", "dw_elsewhere")
    share = case.share(share_ns)
    if share < UNATTRIBUTED:
        return None
    return Reason(
        kind="unattributed",
        effect="remains",
        share_ns=share_ns,
        text=f"{percent(share)} of the step could not be given to a pass and a layer",
        figures=(_share_of_step(share),),
        advice="`frostline diff` lists these ops under `other` and without a layer.",
    )


def no_trace(case: Case) -> Reason | None:
    """The trial was timed, but left no usable trace."""
    row = case.row
    if row.status == "failed" or case.trial is not None or row.error_type == RUNS_EAGERLY:
        return None
    if row.error_stage == "profile":
        reason = (row.error_message or "").rstrip(".")
        why = f"the profile could not be used: {row.error_type}: {reason}"
        advice = "`frostline doctor` says whether this machine lets a user profile."
    elif row.trace_path:
        why = "its ops are not in the table op_costs"
        advice = "`frostline reattribute OUT` writes them again from the trace that was kept."
    else:
        why = "it was timed without a profile"
        advice = "Set profile_steps = 5 under [measure] and run the study on a new OUT."
    return Reason(
        kind="no_trace",
        effect="unknown",
        text=(
            f"{why}. Step time and speedup hold. What cannot be known: which passes shrank, what "
            "the gradient still costs in frozen layers, whether the step is host-bound"
        ),
        advice=advice,
    )


def runs_eagerly(case: Case) -> Reason | None:
    """The step is not compiled, so that it was timed and not profiled."""
    row = case.row
    if row.error_type != RUNS_EAGERLY:
        return None
    why, _, advice = (row.error_message or "").partition(". ")
    return Reason(
        kind="runs_eagerly",
        effect="unknown",
        text=(
            f"{why}. Step time and speedup hold for the eager step; a compiled step takes other "
            "times, and freezing saves another share of them"
        ),
        advice=f"{advice or 'Compile it: leave run_eagerly=True out'}.",
    )


def no_baseline_profile(case: Case) -> Reason | None:
    """No control left a trace on this kind of device."""
    if case.row.status == "failed" or case.controls or case.row.error_type == RUNS_EAGERLY:
        return None
    which = "no other control" if case.row.is_control else "no control"
    return Reason(
        kind="no_baseline_profile",
        effect="unknown",
        text=(
            f"{which} of this model and setting left a profile on "
            f"{case.row.device_kind or 'this device'}: what each pass saved cannot "
            "be known"
        ),
        advice=(
            "Run the study again on this OUT: it measures controls that are missing. Of one that "
            "is there, `frostline explain OUT 'control 1'` says why it has no profile."
        ),
    )


def waiting_not_recorded(case: Case) -> Reason | None:
    """The device's busy time was not recorded, so waiting counts as none."""
    ledgers = [*case.controls, *((case.trial,) if case.trial else ())]
    if all(ledger.waiting_known for ledger in ledgers):
        return None
    return Reason(
        kind="waiting_not_recorded",
        effect="unknown",
        text=(
            "the device's busy time was not recorded: time in which it waits cannot be told from "
            "time in which it works, and counts with the ops"
        ),
    )


REMAINS: tuple[Rule, ...] = (
    gradient_flows_through, still_trains, forward_dominates, communication, input_bound,
    device_waits, unattributed, runs_eagerly, no_trace, no_baseline_profile,
    waiting_not_recorded,
)  # fmt: skip


def _share_of_step(share: float) -> Quantity:
    return Quantity(name="share of the trial's step", value=share, unit="1")
