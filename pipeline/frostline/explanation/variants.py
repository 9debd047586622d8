"""The rules for what a variant of a model changed.

A rule is a function from a `Case` to a `Reason`, or to None when it does not hold. docs/explain.md
states each in words. Pure.
"""

from __future__ import annotations

from frostline.analyse.profiles import ProfileCell
from frostline.explanation.case import Case, PartChange, Rule
from frostline.explanation.explanation import Quantity, Reason
from frostline.listing import listed
from frostline.words import counted, duration_ns


def lora_full_product(case: Case) -> Reason | None:
    """Keras merges A·B into the kernel, so the gradient of the whole kernel is computed first."""
    found = case.lora
    change = _weight_gradients(case)
    if found is None or change is None or not found.full_size:
        return None
    share_ns = None
    takes = "what that takes was not observed"
    if found.full_size_ns is not None:
        share_ns = round(change.trial_ns * found.full_size_ns / (found.weight_gradient_ns or 1))
        takes = f"{duration_ns(share_ns)} of a step"
    return Reason(
        kind="lora_full_product",
        effect="verdict",
        share_ns=share_ns,
        text=(
            f"Keras merges A·B into the kernel of {counted(len(found.full_size), 'layer')} "
            f"({listed(found.full_size)}), so the weight product is computed at the kernel's "
            f"full size before A and B get theirs: {takes}. All weight "
            f"gradients of the layers with LoRA take {duration_ns(change.trial_ns)}, and "
            f"{duration_ns(change.baseline_ns)} in the plain model: LoRA saves the update of the "
            "kernel, and no gradient"
        ),
        figures=(
            Quantity(name="layers with full-size products", value=len(found.full_size), unit="1"),
            *_profiled(found.full_size_ns),
            *change.figures("dW of layers with LoRA"),
        ),
        advice=(
            "Freezing a prefix removes gradients, and LoRA does not. A quantised kernel "
            '(quantize = "int8") takes the low-rank way.'
        ),
    )


def _profiled(full_size_ns: int | None) -> tuple[Quantity, ...]:
    if full_size_ns is None:
        return ()
    return (Quantity(name="profiled full-size products", value=full_size_ns, unit="ns"),)


def lora_low_rank(case: Case) -> Reason | None:
    """Quantised kernels are left as they are: x·A, then times B."""
    found = case.lora
    change = _weight_gradients(case)
    if found is None or change is None or found.full_size:
        return None
    return Reason(
        kind="lora_low_rank",
        effect="verdict",
        share_ns=change.saved_ns,
        text=(
            f"the kernels of {counted(len(found.layers), 'layer')} are left as they are, and LoRA "
            "takes the low-rank way, (x·A)·B: no weight product has the kernel's size. Weight "
            f"gradients of these layers take {duration_ns(change.trial_ns)}, and "
            f"{duration_ns(change.baseline_ns)} in the plain model"
        ),
        figures=(
            Quantity(name="layers with low-rank products", value=len(found.layers), unit="1"),
            *change.figures("dW of layers with LoRA"),
        ),
    )


def recomputed(case: Case) -> Reason | None:
    """A checkpointed layer runs again in the backward pass: memory for time."""
    if not case.recomputes or case.is_unreadable:
        return None
    change = case.change(_forward_and_gradients)
    if change is None:
        return None
    took = "as long as in the plain model, within the noise"
    if change.is_real:
        direction = "shorter" if change.saved_ns > 0 else "longer"
        took = f"{duration_ns(abs(change.saved_ns))} {direction}"
    return Reason(
        kind="recomputed",
        effect="verdict",
        share_ns=change.saved_ns,
        text=(
            "RematScope keeps less of the forward pass for the gradients, and its layers run again "
            f"in the backward pass: forward pass and gradients take {took} "
            f"({duration_ns(change.trial_ns)}, and {duration_ns(change.baseline_ns)} in the plain "
            "model). It is there for memory, not for time"
        ),
        figures=change.figures("forward pass and gradients"),
    )


VARIANTS: tuple[Rule, ...] = (lora_full_product, lora_low_rank, recomputed)


def _forward_and_gradients(cell: ProfileCell) -> bool:
    return not cell.exchange and cell.pass_ in (
        "forward", "activation_gradient", "weight_gradient",
    )  # fmt: skip


def _weight_gradients(case: Case) -> PartChange | None:
    """Weight gradients of the layers with LoRA; None in a sweep that is too noisy to read."""
    if case.is_unreadable:
        return None
    layers = frozenset(case.lora.layers) if case.lora else frozenset()

    def wanted(cell: ProfileCell) -> bool:
        return cell.pass_ == "weight_gradient" and not cell.exchange and cell.layer in layers

    return case.change(wanted)
