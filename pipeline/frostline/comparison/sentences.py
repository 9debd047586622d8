"""What a comparison comes to, in plain sentences. Pure.

In: a comparison or one of its groups. Out: sentences for the terminal, Markdown and the page.
"""

from __future__ import annotations

from collections.abc import Iterator

from frostline.comparison.comparison import (
    CarriedOver,
    ComparedGroup,
    Comparison,
    Configuration,
)
from frostline.comparison.order import Order
from frostline.comparison.ratio import Ratio
from frostline.comparison.verdict import CANNOT_TELL, LOWER, Judgement, Verdict
from frostline.listing import listed
from frostline.words import counted, duration_ns, floor, percent, signed

_NAMED = 6
_LISTED = 12


def headline(comparison: Comparison) -> str:
    """How many configurations have which verdict."""
    total = len(comparison.judgements)
    if not total:
        nothing = "No configuration of the same model and setting was measured in both sweeps."
        orders = [group.order for group in comparison.groups if group.order is not None]
        return f"{nothing} {order_words(orders[0])}" if len(orders) == 1 else nothing
    steps = any(group.baseline is not None for group in comparison.groups)
    one, many = ("judgement", "speedups and step times") if steps else ("speedup", "speedups")
    within = percent(comparison.margin)
    meaning: dict[Verdict, str] = {
        "slower": f"lower by more than {within}",
        "faster": f"higher by more than {within}",
        "same": f"the same within {within}",
        "cannot tell": "cannot be told",
    }
    counts = [f"{count} {meaning[word]}" for word, count in comparison.counts().items() if count]
    what = one if total == 1 else many
    return f"Of {total} {what} in B, against A: {', '.join(counts)}."


def gate_words(comparison: Comparison) -> str:
    """What the gate says and why; empty without a gate."""
    if not comparison.gated:
        return ""
    gate = f"Gate {percent(comparison.margin)}"
    lower = list(_named(comparison, passes=False))
    if comparison.exit_code == LOWER:
        return f"{gate}: failed. Lower in B: {listed(lower, _NAMED)}."
    if comparison.exit_code == CANNOT_TELL:
        open_ = listed(list(_named(comparison, passes=None)), _NAMED)
        return (
            f"{gate}: cannot tell. The noise leaves open whether it is lower in B: {open_}. More "
            "pairs, a quieter machine or a wider gate would tell."
        )
    return f"{gate}: passed. Nothing is lower in B by more than that."


def _named(comparison: Comparison, *, passes: bool | None) -> Iterator[str]:
    for group in comparison.groups:
        if group.baseline is not None and group.baseline.passes is passes:
            yield f"the baseline's step time{_by(group.baseline)}"
        for one in group.configurations:
            if one.speedups is not None and one.speedups.passes is passes:
                yield f"{one.policy}{_by(one.speedups)}"
            if one.steps is not None and one.steps.passes is passes:
                yield f"the step time of {one.policy}{_by(one.steps)}"


def _by(judgement: Judgement) -> str:
    if judgement.ratio is None:
        return f" ({judgement.reason})"
    return f" ({change(judgement.ratio)})"


def change(ratio: Ratio) -> str:
    """A ratio as a change with its interval: `-4.9% [-5.6, -4.1]`."""
    low, value, high = (100 * (each - 1) for each in (ratio.low, ratio.value, ratio.high))
    return f"{value:+.1f}% [{low:+.1f}, {high:+.1f}]"


def side_words(group: ComparedGroup) -> Iterator[str]:
    """Where each sweep measured a group, and how far its controls are off."""
    for name, side in (("A", group.a), ("B", group.b)):
        step = side.baseline_step_ns
        yield (
            f"{name}: {side.device_kind or 'device not known'}; noise floor "
            f"{floor(side.noise_floor)} from {counted(side.controls, 'control')}"
            + (f"; baseline step {duration_ns(step)}" if step is not None else "")
        )


def difference_words(group: ComparedGroup) -> str:
    """That the two sides are different work; empty where they are the same."""
    if not group.differences:
        return ""
    return (
        "A and B measured different work, so no speedup is judged; whether the configurations "
        f"stand in the same order can be told. Different: {'; '.join(group.differences)}."
    )


def note_words(group: ComparedGroup) -> str:
    """What differs and leaves the work the same; empty where nothing does."""
    return f"Also different: {'; '.join(group.notes)}." if group.notes else ""


def order_words(order: Order) -> str:
    """Whether the measured configurations stand in the same order."""
    if not order.pairs:
        return "No two configurations differ clearly in A, so there is no order to compare."
    return (
        f"Order: of {counted(order.pairs, 'pair')} of configurations that differ clearly in A, "
        f"{order.same} stand in the same order in B, {order.reversed} in the opposite one, and "
        f"{order.close} are too close to tell{_rho(order)}."
    )


def carried_words(carried: CarriedOver) -> str:
    """What of A's order holds on B by prediction, and how good such predictions are."""
    order = carried.order
    text = (
        f"Predicted for B from its anchors alone, {counted(carried.predicted, 'configuration')} of "
        f"A: of {counted(order.pairs, 'pair')} that differ clearly in A, {order.same} keep their "
        f"order, {order.reversed} turn round, {order.close} are too close to tell{_rho(order)}."
    )
    if carried.error is None:
        return f"{text} How far these predictions are off is not known: nothing was held out."
    return (
        f"{text} Such predictions were off by {percent(carried.error)} on average, on "
        f"{counted(carried.held_out, 'configuration')} held out in {carried.error_of}."
    )


def _rho(order: Order) -> str:
    return "" if order.rho is None else f" (rank correlation {signed(order.rho)})"


def one_sided_words(group: ComparedGroup) -> Iterator[str]:
    """Which configurations stand on one side only."""
    for name, only in (("A", group.only_a), ("B", group.only_b)):
        if only:
            yield f"Only in {name}: {_policies(only)}."


def _policies(configurations: tuple[Configuration, ...]) -> str:
    return listed([one.policy for one in configurations], _LISTED)


def outcome_words(group: ComparedGroup) -> Iterator[str]:
    """What a group comes to beside its verdicts: one-sided configurations, order, predictions."""
    yield from one_sided_words(group)
    if group.order is not None:
        yield order_words(group.order)
    if group.carried is not None:
        yield carried_words(group.carried)
    elif group.not_carried:
        yield f"Nothing is predicted for B: {group.not_carried}."


def whole_words(comparison: Comparison) -> Iterator[str]:
    """What differs between the sweeps as a whole."""
    if comparison.notices:
        yield f"Different versions: {'; '.join(comparison.notices)}."
    for name, only in (("A", comparison.only_a), ("B", comparison.only_b)):
        if only:
            yield f"Only in {name}: {'; '.join(only)}."
