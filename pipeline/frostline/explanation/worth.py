"""The rules for what a speedup is worth: failures, controls, noise, freezes without effect.

A rule is a function from a `Case` to a `Reason`, or to None when it does not hold. docs/explain.md
states each in words. Pure.
"""

from __future__ import annotations

from frostline.analyse.forward_alone import REMOVABLE
from frostline.analyse.groups import QUIETER
from frostline.explanation.case import Case, Rule
from frostline.explanation.explanation import Quantity, Reason
from frostline.words import duration_ns, percent, speedup


def failed(case: Case) -> Reason | None:
    """The trial failed; where it froze something and its check failed, the freeze had no effect."""
    row = case.row
    if row.status != "failed":
        return None
    checked = row.error_type == "FreezeCheckFailed" and not row.is_control
    attempts = "" if row.attempts == 1 else f" after {row.attempts} attempts"
    message = (row.error_message or "no message").rstrip(".")
    return Reason(
        kind="freeze_without_effect" if checked else "failed",
        effect="verdict",
        text=(
            f"the freeze did not take effect, so nothing was measured: {message}"
            if checked
            else f"failed in stage {row.error_stage or 'unknown'}{attempts}: "
            f"{row.error_type or 'error'}: {message}"
        ),
        figures=(
            Quantity(name="stage", value=row.error_stage or "unknown", unit=""),
            Quantity(name="error", value=row.error_type or "unknown", unit=""),
            Quantity(name="attempts", value=row.attempts, unit="1"),
        ),
        advice=(
            f"Read logs/{row.trial_id}.log in OUT. After fixing the cause, delete "
            f"tables/trials/{row.trial_id}.parquet there and run the sweep again: it measures what "
            "has no row."
        ),
    )


def control(case: Case) -> Reason | None:
    """A control is a copy of the baseline, so its difference from it is noise."""
    row = case.row
    if not row.is_control or row.speedup is None:
        return None
    return Reason(
        kind="control",
        effect="verdict",
        share_ns=_step_change(case),
        text=(
            "it is a control, an independently built copy of the baseline: its speedup should be "
            f"1, and it was measured as {speedup(row)}, which is this machine's noise"
        ),
    )


def too_noisy(case: Case) -> Reason | None:
    """The noise floor is so large that no speedup of this sweep can be believed."""
    floor = case.noise_floor
    if floor is None or not case.is_unreadable or case.row.speedup is None:
        return None
    return Reason(
        kind="too_noisy",
        effect="verdict",
        share_ns=case.noise_ns or None,
        text=(
            f"this sweep is too noisy to read: copies of the baseline, which should take the same "
            f"time, differ from it by up to {percent(floor)}"
        ),
        figures=(Quantity(name="noise floor", value=floor, unit="1"),),
        advice=QUIETER,
    )


def freeze_without_effect(case: Case) -> Reason | None:
    """Gradients and update take no less than in the baseline, and neither does the step."""
    gone = case.change(lambda cell: cell.pass_ in REMOVABLE)
    if gone is None or not case.freezes or case.row.is_control or case.is_unreadable:
        return None
    if case.row.variant is not None:
        return None
    if case.verdict != "no measurable difference" or gone.is_real:
        return None
    baseline = case.baseline
    of_frozen = ("dx_pruned", "dw_frozen")
    at_stake_ns = baseline.total(lambda cell: case.part_of(cell) in of_frozen) if baseline else 0
    return Reason(
        kind="freeze_without_effect",
        effect="verdict",
        share_ns=gone.saved_ns,
        text=(
            f"freezing removed nothing that can be measured: gradients and update take "
            f"{duration_ns(gone.trial_ns)}, in the baseline {duration_ns(gone.baseline_ns)}, which "
            f"is no more apart than they are uncertain by; all gradients of the frozen layers "
            f"together take {duration_ns(at_stake_ns)} there"
        ),
        figures=(
            *gone.figures("gradients and update"),
            Quantity(name="baseline gradients of frozen layers", value=at_stake_ns, unit="ns"),
        ),
        advice=_freeze_instead(case),
    )


def _freeze_instead(case: Case) -> str:
    """What to freeze that this trial does not; empty where nothing else could be frozen."""
    if sum(layer.mode == "trainable" for layer in case.layers) == 1:
        return ""
    prefix = case.frozen_prefix_length
    where = (
        f"Freeze further than layer {prefix}"
        if prefix
        else "Freeze the layers whose gradients take the time, beginning at the input"
    )
    return f"{where}: `frostline predict` answers for any choice without measuring it."


def within_noise(case: Case) -> Reason | None:
    """The speedup lies within the noise floor, or its interval contains 1."""
    if case.verdict != "no measurable difference" or case.row.is_control or case.is_unreadable:
        return None
    floor = case.noise_floor
    within = floor is not None and abs((case.row.speedup or 1.0) - 1) <= floor
    if floor is not None and within:
        why = f"copies of the baseline differ by up to {percent(floor)}"
        why += f", {duration_ns(case.noise_ns)} of this step" if case.noise_ns else ""
    elif case.row.speedup_low is None or case.row.speedup_high is None:
        why = "neither an interval nor a control was measured"
    else:
        why = "its interval contains 1" + ("" if floor is not None else ", and no control is there")
    return Reason(
        kind="within_noise",
        effect="verdict",
        share_ns=case.noise_ns if within else None,
        text=f"{speedup(case.row)} is no measurable difference: {why}",
        figures=(
            (Quantity(name="noise floor", value=floor, unit="1"),) if floor is not None else ()
        ),
        advice=(
            "To see smaller differences, measure on a machine without other work or with a larger "
            "batch."
            if within
            else "A smaller target_ci, or more pairs (max_pairs), makes the interval narrower."
        ),
    )


WORTH: tuple[Rule, ...] = (failed, too_noisy, control, freeze_without_effect, within_noise)


def _step_change(case: Case) -> int | None:
    step_ns = case.row.baseline_step_ns
    return None if step_ns is None or case.step_ns is None else step_ns - case.step_ns
