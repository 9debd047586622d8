"""The rules for what the speedup is worth, and for what freezing saved.

A rule is a function from a `Case` to a `Reason`, or to None when it does not hold. docs/explain.md
states each in words. The savings count every nanosecond once: forward and dX of normalisations that
changed their mode, the rest of forward, the rest of dX, dW, update. Pure.
"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.analyse.words import duration, percent, speedup
from pipeline.explain.case import Case
from pipeline.explain.explanation import Figure, Reason
from pipeline.explain.profiles import Cell

Rule = Callable[[Case], Reason | None]

UPDATE_LARGE = 0.10
UPDATE_SMALL = 0.03
MANY_FROZEN = 0.25


def failed(case: Case) -> Reason | None:
    """The trial failed; a failed freeze check is a freeze without effect."""
    row = case.row
    if row.status != "failed":
        return None
    checked = row.error_stage == "check"
    attempts = "" if row.attempts == 1 else f" after {row.attempts} attempts"
    message = (row.error_message or "no message").rstrip(".")
    return Reason(
        kind="freeze_without_effect" if checked else "failed",
        effect="verdict",
        share_ns=None,
        text=(
            f"the freeze did not take effect, so nothing was measured: {message}"
            if checked
            else f"failed in stage {row.error_stage or 'unknown'}{attempts}: "
            f"{row.error_type or 'error'}: {message}"
        ),
        figures=(
            Figure(name="stage", value=row.error_stage or "unknown", unit=""),
            Figure(name="error", value=row.error_type or "unknown", unit=""),
            Figure(name="attempts", value=row.attempts, unit="1"),
        ),
        advice=(
            f"Read logs/{row.trial_id}.log in OUT. After mending the cause, delete "
            f"tables/trials/{row.trial_id}.parquet there and run the sweep again: it measures what "
            "has no row."
        ),
    )


def control(case: Case) -> Reason | None:
    """A control is a copy of the baseline: what it is off by is noise."""
    row = case.row
    if not row.is_control or row.speedup is None:
        return None
    return Reason(
        kind="control",
        effect="verdict",
        share_ns=_step_change(case),
        text=(
            "it is a control, an independently built copy of the baseline: its speedup should be "
            f"1, and that it came out as {speedup(row)} is this machine's noise"
        ),
        figures=(),
        advice="",
    )


def freeze_without_effect(case: Case) -> Reason | None:
    """Gradients and update take no less than in the baseline, and neither does the step."""
    gone = case.change(lambda cell: cell.pass_ in _REMOVABLE)
    if gone is None or not case.freezes or case.row.is_control:
        return None
    shrank = gone.is_real and gone.saved_ns > 0
    if case.verdict != "no measurable difference" or shrank:
        return None
    baseline = case.baseline
    at_stake_ns = baseline.total(_frozen_gradients(case)) if baseline else 0
    return Reason(
        kind="freeze_without_effect",
        effect="verdict",
        share_ns=gone.saved_ns,
        text=(
            f"freezing removed nothing that can be measured: gradients and update take "
            f"{duration(gone.trial_ns)} of {duration(gone.baseline_ns)} in the baseline; all "
            f"gradients of the frozen layers together take {duration(at_stake_ns)} there"
        ),
        figures=(
            Figure(name="baseline gradients and update", value=gone.baseline_ns, unit="ns"),
            Figure(name="trial gradients and update", value=gone.trial_ns, unit="ns"),
            Figure(name="baseline gradients of frozen layers", value=at_stake_ns, unit="ns"),
        ),
        advice=(
            "Freeze the layers whose gradients take the time, beginning at the input: "
            "`frostline predict` answers for any choice without measuring it."
        ),
    )


def within_noise(case: Case) -> Reason | None:
    """The speedup lies within the noise floor, or its interval contains 1."""
    if case.verdict != "no measurable difference" or case.row.is_control:
        return None
    floor = case.noise_floor
    known = f"copies of the baseline differ by up to {percent(floor)}" if floor is not None else ""
    return Reason(
        kind="within_noise",
        effect="verdict",
        share_ns=case.noise_ns if floor is not None else None,
        text=(
            f"{speedup(case.row)} is no measurable difference: "
            + (known or "the interval contains 1, and no control was measured")
            + (f", {duration(case.noise_ns)} of this step" if case.noise_ns else "")
        ),
        figures=((Figure(name="noise floor", value=floor, unit="1"),) if floor is not None else ()),
        advice=(
            "Measure on a machine without other work, with a smaller target_ci, or with a larger "
            "batch."
        ),
    )


def backward_ends(case: Case) -> Reason | None:
    """Less dX because no gradient has to reach the layers before the first that trains."""
    pruned = [layer.layer for layer in case.layers if layer.mode == "pruned"]
    found = case.change(_dx_beside_norms(case))
    first = case.first_trainable
    if found is None or not pruned or first is None or not (found.is_real and found.saved_ns > 0):
        return None
    return Reason(
        kind="backward_ends",
        effect="saved",
        share_ns=found.saved_ns,
        text=(
            f"the backward pass ends at layer {first.index} ({first.layer}): "
            f"{_count(len(pruned), 'layer')} need no gradient handed on (dX)"
        ),
        figures=(
            Figure(name="pruned layers", value=len(pruned), unit="layers"),
            Figure(name="baseline dX", value=found.baseline_ns, unit="ns"),
            Figure(name="trial dX", value=found.trial_ns, unit="ns"),
        ),
        advice="",
    )


def gradients_changed(case: Case) -> Reason | None:
    """DX changed though the gradient still reaches every layer that it reached before."""
    found = case.change(_dx_beside_norms(case))
    pruned = any(layer.mode == "pruned" for layer in case.layers)
    if found is None or not case.freezes or not found.is_real:
        return None
    if pruned and found.saved_ns > 0:
        return None
    less = found.saved_ns > 0
    return Reason(
        kind="gradients_changed",
        effect="saved",
        share_ns=found.saved_ns,
        text=(
            f"handing gradients on (dX) takes {'less' if less else 'more'}, though the gradient "
            "still takes the same way: ops were fused otherwise, or the profiles caught the "
            "machine in different states"
        ),
        figures=(
            Figure(name="baseline dX", value=found.baseline_ns, unit="ns"),
            Figure(name="trial dX", value=found.trial_ns, unit="ns"),
        ),
        advice="`frostline diff` with a control shows which ops they are.",
    )


def weight_gradients_gone(case: Case) -> Reason | None:
    """Less dW."""
    found = case.change(lambda cell: cell.pass_ == "weight_gradient" and not cell.exchange)
    if found is None or not case.freezes or not (found.is_real and found.saved_ns > 0):
        return None
    layers = len(case.row.frozen_layers)
    where = f" in {_count(layers, 'layer')}" if layers else ""  # else: single variables, biases say
    return Reason(
        kind="weight_gradients_gone",
        effect="saved",
        share_ns=found.saved_ns,
        text=f"no gradients of frozen weights (dW){where}",
        figures=(
            Figure(name="baseline dW", value=found.baseline_ns, unit="ns"),
            Figure(name="trial dW", value=found.trial_ns, unit="ns"),
        ),
        advice="",
    )


def update(case: Case) -> Reason | None:
    """The optimizer's update is a large part of the step, or too small to matter."""
    found = case.change(lambda cell: cell.pass_ == "optimizer" and not cell.exchange)
    step_ns, fraction = case.row.baseline_step_ns, case.row.frozen_fraction
    if found is None or not step_ns or not case.freezes or fraction is None:
        return None
    share = found.baseline_ns / step_ns
    figures = (
        Figure(name="baseline update", value=found.baseline_ns, unit="ns"),
        Figure(name="trial update", value=found.trial_ns, unit="ns"),
        Figure(name="frozen fraction", value=fraction, unit="1"),
    )
    if share >= UPDATE_LARGE:
        return Reason(
            kind="update_large",
            effect="saved",
            share_ns=found.saved_ns,
            text=(
                f"the optimizer's update takes {percent(share)} of the baseline's step, and "
                f"{percent(fraction)} of the parameters need none now; it still takes "
                f"{duration(found.trial_ns)}"
            ),
            figures=figures,
            advice="Here the number of frozen parameters counts, wherever they are.",
        )
    if share <= UPDATE_SMALL and fraction >= MANY_FROZEN:
        return Reason(
            kind="update_small",
            effect="saved",
            share_ns=found.saved_ns,
            text=(
                f"{percent(fraction)} of the parameters are frozen, but the update of all of them "
                f"takes only {percent(share)} of the baseline's step"
            ),
            figures=figures,
            advice="Do not choose by parameters here; choose by where the gradients take the time.",
        )
    return None


def norms_in_inference(case: Case) -> Reason | None:
    """Frozen batch normalisations use their stored statistics: other ops, forward and backward."""
    switched = case.switched_norms
    if not switched or not case.freezes:
        return None
    found = case.change(_norm_cells(case))
    flows = sum(case.mode_of(name) == "pass_through" for name in switched)
    text = (
        f"{_count(len(switched), 'batch normalisation')} switched to inference mode: stored "
        "statistics instead of the batch's, which changes the forward pass"
        + (f", and the gradient in {flows} that it still flows through" if flows else "")
    )
    if found is not None and not found.is_real:
        text += "; the difference lies within the noise"
    return Reason(
        kind="norms_in_inference",
        effect="saved",
        share_ns=found.saved_ns if found else None,
        text=text,
        figures=(
            Figure(name="switched normalisations", value=len(switched), unit="layers"),
            *(
                (
                    Figure(name="baseline forward and dX", value=found.baseline_ns, unit="ns"),
                    Figure(name="trial forward and dX", value=found.trial_ns, unit="ns"),
                )
                if found
                else ()
            ),
        ),
        advice=(
            "The model computes something else than the baseline here, as Keras does for "
            "layer.trainable = False; `all_but_norms` freezes without them."
        ),
    )


def forward_changed(case: Case) -> Reason | None:
    """The forward pass differs beside the normalisations that changed their mode."""
    norms = case.switched_norms
    found = case.change(
        lambda cell: cell.pass_ == "forward" and not cell.exchange and cell.layer not in norms
    )
    if found is None or not case.freezes or not found.is_real:
        return None
    less = found.saved_ns > 0
    beside = " beside the normalisations" if norms else ""
    return Reason(
        kind="forward_changed",
        effect="saved",
        share_ns=found.saved_ns,
        text=(
            f"the forward pass{beside} takes {'less' if less else 'more'} than the baseline's: "
            + (
                "activations that no gradient needs are not kept, and ops can be fused"
                if less
                else "ops were fused otherwise, or the profiles caught the machine in different "
                "states"
            )
        ),
        figures=(
            Figure(name="baseline forward", value=found.baseline_ns, unit="ns"),
            Figure(name="trial forward", value=found.trial_ns, unit="ns"),
        ),
        advice="`frostline diff` with a control shows which ops they are.",
    )


def waiting_changed(case: Case) -> Reason | None:
    """The device waits less or more than in the baseline."""
    found = case.change(lambda cell: cell.pass_ is None)
    if found is None or not case.freezes or not found.is_real:
        return None
    less = found.saved_ns > 0
    return Reason(
        kind="waiting_changed",
        effect="saved",
        share_ns=found.saved_ns,
        text=(
            f"no op runs during {'less' if less else 'more'} of the step: "
            + (
                "there is less to dispatch, or the machine was doing less beside it"
                if less
                else "the device's work got shorter and the host's work for it did not, or the "
                "machine was doing more beside it"
            )
        ),
        figures=(
            Figure(name="baseline waiting", value=found.baseline_ns, unit="ns"),
            Figure(name="trial waiting", value=found.trial_ns, unit="ns"),
        ),
        advice="",
    )


SAVED: tuple[Rule, ...] = (
    failed, freeze_without_effect, control, within_noise, backward_ends, gradients_changed,
    weight_gradients_gone, update, norms_in_inference, forward_changed, waiting_changed,
)  # fmt: skip

_REMOVABLE = frozenset({"activation_gradient", "weight_gradient", "optimizer"})


def _step_change(case: Case) -> int | None:
    step_ns = case.row.baseline_step_ns
    return None if step_ns is None or case.step_ns is None else step_ns - case.step_ns


def _frozen_gradients(case: Case) -> Callable[[Cell], bool]:
    return lambda cell: case.part_of(cell) in ("dx_pruned", "dw_frozen")


def _norm_cells(case: Case) -> Callable[[Cell], bool]:
    """Forward of all of them; dX only where it still flows, else nothing but pruning changed it."""
    norms = case.switched_norms
    through = {name for name in norms if case.mode_of(name) == "pass_through"}
    return lambda cell: (
        not cell.exchange
        and (
            (cell.pass_ == "forward" and cell.layer in norms)
            or (cell.pass_ == "activation_gradient" and cell.layer in through)
        )
    )


def _dx_beside_norms(case: Case) -> Callable[[Cell], bool]:
    counted = _norm_cells(case)
    return lambda cell: (
        cell.pass_ == "activation_gradient" and not cell.exchange and not counted(cell)
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
