"""The rules for what freezing changed.

A rule is a function from a `Case` to a `Reason`, or to None when it does not hold. docs/explain.md
states each in words. The shares count every nanosecond once: forward and dX of normalisations that
switched to inference mode, the rest of forward, the rest of dX, dW, update. Pure.
"""

from __future__ import annotations

from collections.abc import Callable

from frostline.analyse.profiles import ProfileCell
from frostline.explanation.case import Case, PartChange, Rule
from frostline.explanation.explanation import Quantity, Reason
from frostline.explanation.waiting import waiting_changed
from frostline.words import counted, duration_ns, percent

UPDATE_LARGE = 0.10
UPDATE_SMALL = 0.03
MANY_FROZEN = 0.25

_OTHERWISE = (
    "ops were fused differently, or the machine was in another state during one of the profiles"
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
            f"the backward pass ends at {first.shown}: "
            f"{counted(len(pruned), 'layer')} need no gradient passed on (dX)"
        ),
        figures=(
            Quantity(name="pruned layers", value=len(pruned), unit="layers"),
            *found.figures("dX"),
        ),
    )


def gradients_changed(case: Case) -> Reason | None:
    """The dX time changed although the gradient reaches the same layers as before."""
    found = case.change(_dx_beside_norms(case))
    pruned = any(layer.mode == "pruned" for layer in case.layers)
    if found is None or not case.differs or not found.is_real:
        return None
    if pruned and found.saved_ns > 0:
        return None
    less = found.saved_ns > 0
    return Reason(
        kind="gradients_changed",
        effect="saved",
        share_ns=found.saved_ns,
        text=(
            f"passing gradients on (dX) takes {'less' if less else 'more'}, although the gradient "
            f"takes the same way as before: {_why_changed(case, _OTHERWISE)}"
        ),
        figures=found.figures("dX"),
        advice="`frostline diff` with a control shows which ops they are.",
    )


def _why_changed(case: Case, otherwise: str) -> str:
    """A variant runs other ops than the plain model; elsewhere it is something else."""
    return "the layers of this variant run other ops" if case.row.variant else otherwise


def weight_gradients_gone(case: Case) -> Reason | None:
    """Less dW."""
    found = case.change(lambda cell: cell.pass_ == "weight_gradient" and not cell.exchange)
    if found is None or not case.freezes or not (found.is_real and found.saved_ns > 0):
        return None
    layers = len(case.row.frozen_layers)
    where = f" in {counted(layers, 'layer')}" if layers else ""  # else: single variables (biases)
    return Reason(
        kind="weight_gradients_gone",
        effect="saved",
        share_ns=found.saved_ns,
        text=f"no gradients of frozen weights (dW){where}",
        figures=found.figures("dW"),
    )


def update(case: Case) -> Reason | None:
    """The optimizer's update is a large part of the step, or too small to matter.

    Large are its ops. Small is only what is so together with what the device waits for it: where
    launching the update takes long, freezing saves that as well, and another rule says how much.
    """
    found = case.change(lambda cell: cell.pass_ == "optimizer" and not cell.exchange)
    baseline, step_ns, fraction = (
        case.baseline, case.row.baseline_step_ns, case.row.frozen_fraction,
    )  # fmt: skip
    if found is None or baseline is None or not step_ns or not case.differs or fraction is None:
        return None
    if not found.baseline_ns and any(row.unobserved_optimizer_ops for row in case.control_rows):
        return None  # it ran, and left no event
    share = found.baseline_ns / step_ns
    if case.row.variant is not None:
        return _update_of_variant(case, found)
    figures = (*found.figures("update"), Quantity(name="frozen fraction", value=fraction, unit="1"))
    if share >= UPDATE_LARGE:
        return Reason(
            kind="update_large",
            effect="saved",
            share_ns=found.saved_ns,
            text=(
                f"the optimizer's update takes {percent(share)} of the baseline's step, and "
                f"{percent(fraction)} of the parameters need none now; it still takes "
                f"{duration_ns(found.trial_ns)}"
            ),
            figures=figures,
            advice="Here the number of frozen parameters counts, wherever they are.",
        )
    with_waits = baseline.with_waits("optimizer") / step_ns
    if with_waits <= UPDATE_SMALL and fraction >= MANY_FROZEN:
        return Reason(
            kind="update_small",
            effect="saved",
            share_ns=found.saved_ns,
            text=(
                f"{percent(fraction)} of the parameters are frozen, but the update of all of them "
                f"takes only {percent(with_waits)} of the baseline's step"
            ),
            figures=figures,
            advice="Do not choose by parameters here; choose by where the gradients take the time.",
        )
    return None


def _update_of_variant(case: Case, found: PartChange) -> Reason | None:
    """A variant has other variables to update than the plain model."""
    row, plain = case.row, case.control_rows[0]
    if not found.is_real or None in (row.total_params, row.frozen_params, plain.total_params):
        return None
    trained, before = (row.total_params or 0) - (row.frozen_params or 0), plain.total_params or 0
    return Reason(
        kind="update_changed",
        effect="saved",
        share_ns=found.saved_ns,
        text=(
            f"the optimizer updates {trained:,} parameters in place of {before:,}: "
            f"{duration_ns(found.trial_ns)} in place of {duration_ns(found.baseline_ns)}"
        ),
        figures=(
            *found.figures("update"),
            Quantity(name="baseline trained parameters", value=before, unit="1"),
            Quantity(name="trial trained parameters", value=trained, unit="1"),
        ),
    )


def norms_in_inference(case: Case) -> Reason | None:
    """Frozen batch normalisations use their stored statistics: other ops, forward and backward."""
    switched = case.switched_norms
    if not switched or not case.differs:
        return None
    found = case.change(_norm_cells(case))
    flows = sum(case.mode_of(name) == "pass_through" for name in switched)
    text = (
        f"{counted(len(switched), 'batch normalisation')} switched to inference mode: stored "
        "statistics instead of the batch's, which changes the forward pass"
        + (f", and the gradient in {flows} that it still flows through" if flows else "")
    )
    if found is not None and not found.is_real:
        text += "; the difference is no larger than its own uncertainty"
    return Reason(
        kind="norms_in_inference",
        effect="saved",
        share_ns=found.saved_ns if found else None,
        text=text,
        figures=(
            Quantity(name="switched normalisations", value=len(switched), unit="layers"),
            *(found.figures("forward and dX") if found else ()),
        ),
        advice=(
            "The model then computes something else than the baseline, as Keras does for "
            "layer.trainable = False; `all_but_norms` freezes everything but them."
        ),
    )


def forward_changed(case: Case) -> Reason | None:
    """The forward pass changed outside of normalisations that switched to inference mode."""
    norms = case.switched_norms
    found = case.change(
        lambda cell: cell.pass_ == "forward" and not cell.exchange and cell.layer not in norms
    )
    if found is None or not case.differs or not found.is_real:
        return None
    less = found.saved_ns > 0
    beside = " beside the normalisations" if norms else ""
    return Reason(
        kind="forward_changed",
        effect="saved",
        share_ns=found.saved_ns,
        text=(
            f"the forward pass{beside} takes {'less' if less else 'more'} than the baseline's: "
            + _why_changed(
                case,
                "activations that no gradient needs are not kept, and ops can be fused"
                if less
                else _OTHERWISE,
            )
        ),
        figures=found.figures("forward"),
        advice="`frostline diff` with a control shows which ops they are.",
    )


SAVED: tuple[Rule, ...] = (
    backward_ends, gradients_changed, weight_gradients_gone, update, norms_in_inference,
    forward_changed, waiting_changed,
)  # fmt: skip


def _norm_cells(case: Case) -> Callable[[ProfileCell], bool]:
    """Forward cells of the switched norms, and their dX where the gradient still flows through."""
    norms = case.switched_norms
    through = {name for name in norms if case.mode_of(name) == "pass_through"}
    return lambda cell: (
        not cell.exchange
        and (
            (cell.pass_ == "forward" and cell.layer in norms)
            or (cell.pass_ == "activation_gradient" and cell.layer in through)
        )
    )


def _dx_beside_norms(case: Case) -> Callable[[ProfileCell], bool]:
    of_norms = _norm_cells(case)
    return lambda cell: (
        cell.pass_ == "activation_gradient" and not cell.exchange and not of_norms(cell)
    )
