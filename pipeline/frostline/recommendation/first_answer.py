"""The first thing to say about a sweep: what to freeze for half the step time, and how sure it is.

In: a sweep and the summary of its trials. Out: a `FirstAnswer` for each model and setting. Nothing
is refused: what cannot be answered is a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from frostline.analyse import GroupSummary, Summary
from frostline.costmodel.held_out import HeldOutError, held_out_error
from frostline.errors import UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.prediction import PredictedGroup, sort_groups
from frostline.recommendation.choose import importance_of
from frostline.recommendation.keras_code import keras_code
from frostline.recommendation.optimise import BudgetError, optimise
from frostline.recommendation.recommendation import Recommendation
from frostline.store.sweep import Sweep
from frostline.words import counted, floor, interval, number_ranges, percent, placement, ratio

HALF = 0.5
MOST_GROUPS = 8
"""The models and settings that are answered; a search takes seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAnswer:
    """What to freeze in one model under one setting for half the step time.

    Attributes:
        found: the pick within half the step time, or the fastest where nothing is that fast; None
            where there is no cost model.
        halves: whether the pick is predicted to take half the step time or less.
        most: the speedup that no choice of layers is predicted to exceed, head included; None
            likewise.
        facts: of the model; None likewise.
        error: of the held-out predictions; None where nothing was held out.
        why_not: why nothing is found; empty where something is.
    """

    found: Recommendation | None
    halves: bool
    most: float | None
    facts: ModelFacts | None
    error: HeldOutError | None
    why_not: str = ""

    def numbers_of(self, frozen: Sequence[str]) -> tuple[int, ...]:
        """The numbers of some layers, from 1."""
        layers = () if self.facts is None else self.facts.layers
        return tuple(number for number, layer in enumerate(layers, start=1) if layer.name in frozen)

    def code_of(self, frozen: Sequence[str]) -> str:
        """Python that freezes some layers."""
        return "" if self.facts is None else keras_code(self.facts, frozen)


def first_answers(
    sweep: Sweep, summary: Summary, *, frontier: bool = False
) -> tuple[FirstAnswer | None, ...]:
    """An answer for each group of the summary; None beyond the first `MOST_GROUPS`.

    With `frontier` also the best configuration of every round budget, which takes longer.
    """
    wanted = summary.groups[:MOST_GROUPS]
    fitted, rest = sort_groups(sweep)
    by_key = {group.key: group for group in fitted}
    why = {each.key: each.notice for each in rest}
    kinds = [group.key for group in summary.groups]
    found: list[FirstAnswer | None] = []
    for group in wanted:
        fit = by_key.get(group.key) if kinds.count(group.key) == 1 else None
        if fit is None:
            found.append(_nothing(why.get(group.key, "there is no cost model of it")))
        else:
            found.append(_answered(sweep, fit, frontier=frontier))
    return (*found, *[None] * (len(summary.groups) - len(wanted)))


def what_to_freeze(answer: FirstAnswer) -> str:
    """What to freeze for half the step time, in a sentence or two."""
    found = answer.found
    if found is None:
        return f"What to freeze for half the step time is not known: {answer.why_not}."
    predicted = found.answer
    speed = (
        f"{found.pick.share:.2f} of the baseline's step, {ratio(predicted.predicted_speedup)}"
        + ("" if predicted.low is None else f" {interval(predicted.low, predicted.high)}")
    )
    if predicted.measured_speedup is not None:
        speed += f" (measured {ratio(predicted.measured_speedup)})"
    if not found.pick.frozen_layers:
        return "Nothing has to be frozen for half the step time."
    numbers = answer.numbers_of(found.pick.frozen_layers)
    total = len(found.importance.by_layer)
    which = f"{counted(len(numbers), 'layer')} of {total}: {number_ranges(numbers)}"
    if answer.halves:
        return f"For half the step time, freeze {which}. Predicted: {speed}."
    return (
        f"No freeze halves the step time. The fastest that still trains the head freezes {which}. "
        f"Predicted: {speed}."
    )


def how_sure(answer: FirstAnswer, group: GroupSummary) -> str:
    """The held-out error of predictions and the noise floor, in a sentence."""
    noise = f"noise floor {floor(group.noise_floor)}"
    error = answer.error
    if answer.found is None:
        return f"How sure: {noise}."
    if error is None:
        return (
            "How sure: made from the anchors alone, since no other configuration was measured; "
            f"{noise}."
        )
    return (
        f"How sure: on {counted(error.count, 'configuration')} that took no part in them, "
        f"predictions were off by {percent(error.mean_abs)} on average and "
        f"{percent(error.max_abs)} at most; {noise}."
    )


def why_fraction_misleads(group: GroupSummary) -> str:
    """What the share of frozen parameters says about the speedup, and what it does not."""
    pair, fit = group.contrast, group.by_fraction
    if pair is not None:
        fast, slow = pair.faster, pair.slower
        return (
            "The share of frozen parameters misleads: "
            f"{percent(fast.frozen_fraction or 0.0)} frozen {placement(fast.policy)} gave "
            f"{ratio(fast.speedup)}, {percent(slow.frozen_fraction or 0.0)} frozen "
            f"{placement(slow.policy)} {ratio(slow.speedup)}. What counts is how far back "
            "gradients have to go."
        )
    if group.best is None or fit is None:
        return ""
    explains = f"a straight line through it explains {round(100 * fit.r_squared)}% of the variance"
    return f"The share of frozen parameters alone does not say the speedup: {explains}."


def first_sentences(answer: FirstAnswer | None, group: GroupSummary) -> tuple[str, ...]:
    """The first lines about a model and setting; empty where its noise allows no answer."""
    if answer is None or group.is_unreadable or not group.candidates:
        return ()
    said = (what_to_freeze(answer), how_sure(answer, group), why_fraction_misleads(group))
    return tuple(filter(None, said))


def _nothing(why: str) -> FirstAnswer:
    return FirstAnswer(
        found=None, halves=False, most=None, facts=None, error=None, why_not=why.rstrip(".")
    )


def _answered(sweep: Sweep, group: PredictedGroup, *, frontier: bool) -> FirstAnswer:
    try:
        worth = importance_of(sweep, group, None)
        found, halves = optimise(group, worth, HALF, frontier=frontier), True
    except BudgetError as error:
        if error.least is None:
            return _nothing(str(error))
        found = optimise(group, worth, min(1.0, error.least), frontier=frontier)
        halves = False
    except UsageError as error:
        return _nothing(str(error))
    return FirstAnswer(
        found=found,
        halves=halves,
        most=found.most,
        facts=group.facts,
        error=held_out_error(group.judged()),
    )
