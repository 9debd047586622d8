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
from frostline.recommendation.importance import Importance
from frostline.recommendation.keras_code import keras_code
from frostline.recommendation.optimise import BudgetError, optimise
from frostline.recommendation.recommendation import Recommendation
from frostline.recommendation.solve import SolverError
from frostline.store.sweep import Sweep
from frostline.words import (
    counted,
    floor,
    interval,
    number_ranges,
    percent,
    placement,
    range_count,
    ratio,
    share,
)

HALF = 0.5
MOST_GROUPS = 8
"""The models and settings that are answered; a search takes seconds."""


_RANGES = 6
"""The ranges of layers up to which a choice is listed; beyond, the shortest prefix stands first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """The shortest prefix within the budget: the first `layers` layers, and what it is predicted.

    Attributes:
        layers: how many layers are frozen.
        speedup: predicted.
        kept: importance of the layers that train / that of all layers.
    """

    layers: int
    speedup: float
    kept: float


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
        prefix: the shortest prefix that is as fast; None where there is none below the head.
        error: of the held-out predictions; None where nothing was held out.
        least: step of the fastest configuration / the baseline's, where even that takes longer than
            the baseline; None elsewhere.
        why_not: why nothing is found; empty where something is.
    """

    found: Recommendation | None
    halves: bool
    most: float | None
    facts: ModelFacts | None
    error: HeldOutError | None
    prefix: Prefix | None = None
    least: float | None = None
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
    fits = {(each.key, each.device_kind): each for each in fitted}
    why = {(each.key, each.device_kind): each.notice for each in rest}
    found: list[FirstAnswer | None] = []
    for group in wanted:
        which = group.key, group.device_kind
        fit = fits.get(which)
        if fit is None:
            found.append(_nothing(why.get(which, "there is no cost model of it")))
        else:
            found.append(_answered(sweep, fit, frontier=frontier))
    return (*found, *[None] * (len(summary.groups) - len(wanted)))


def what_to_freeze(answer: FirstAnswer) -> str:
    """What to freeze for half the step time, in a sentence or two."""
    found = answer.found
    if found is None and answer.least is not None:
        return (
            "No freeze halves the step time: every configuration takes longer than the plain "
            f"model's baseline. The fastest is predicted at {answer.least:.2f} of its step."
        )
    if found is None:
        return f"What to freeze for half the step time is not known: {answer.why_not}."
    if not found.pick.frozen_layers and not answer.halves:
        return "No freeze of whole layers is predicted to shorten a step while the head trains."
    predicted = found.answer
    speed = (
        f"{found.pick.share:.2f} of the baseline's step, {ratio(predicted.predicted_speedup)}"
        + ("" if predicted.low is None else f" {interval(predicted.low, predicted.high)}")
    )
    if predicted.measured_speedup is not None:
        speed += f" (measured {ratio(predicted.measured_speedup)})"
    if not found.pick.frozen_layers:
        return (
            "With everything training, a step takes half the time of the plain model's baseline "
            f"or less. Predicted: {speed}."
        )
    numbers = answer.numbers_of(found.pick.frozen_layers)
    total = len(found.importance.by_layer)
    simple = answer.prefix
    if range_count(numbers) > _RANGES and simple is not None and answer.halves:
        return (
            f"For half the step time, freeze {_first_layers(simple.layers)} of {total} "
            f"(prefix:{simple.layers}). Predicted: {ratio(simple.speedup)}, and "
            f"{share(simple.kept)} of what matters goes on training. A choice of {len(numbers)} "
            f"layers keeps {share(found.pick.kept)} training at {ratio(1 / found.pick.share)}."
        )
    which = f"{counted(len(numbers), 'layer')} of {total}: {number_ranges(numbers, _RANGES)}"
    if answer.halves:
        return f"For half the step time, freeze {which}. Predicted: {speed}."
    return (
        f"No freeze halves the step time. The fastest that still trains the head freezes {which}. "
        f"Predicted: {speed}."
    )


def _first_layers(count: int) -> str:
    return "the first layer" if count == 1 else f"the first {count} layers"


def how_sure(answer: FirstAnswer, group: GroupSummary) -> str:
    """The held-out error of predictions and the noise floor, in a sentence."""
    noise = f"noise floor {floor(group.noise_floor)}"
    error = answer.error
    if answer.found is None:
        return f"How sure: {noise}."
    if error is None:
        return (
            "How sure: no other configuration that was measured tells how far predictions, which "
            f"come from the anchors alone, are off; {noise}."
        )
    return (
        "How sure: predictions come from a few profiled runs, the anchors. They missed the speedup "
        f"of {counted(error.count, 'other measured configuration')} by {percent(error.mean_abs)} "
        f"on average and {percent(error.max_abs)} at most; {noise}."
    )


def why_fraction_misleads(group: GroupSummary) -> str:
    """What the share of frozen parameters says about the speedup, and what it does not."""
    pair, fit, place = group.contrast, group.by_fraction, group.by_position
    said = []
    if pair is not None:
        fast, slow = pair.faster, pair.slower
        said.append(
            "The share of frozen parameters misleads: "
            f"{percent(fast.frozen_fraction or 0.0)} frozen {placement(fast.policy)} gave "
            f"{ratio(fast.speedup)}, {percent(slow.frozen_fraction or 0.0)} frozen "
            f"{placement(slow.policy)} {ratio(slow.speedup)}."
        )
    if group.best is not None and fit is not None:
        explains = f"explains {round(100 * fit.r_squared)}% of the variance of the speedups"
        if place is not None and place.r_squared > fit.r_squared:
            explains += (
                "; how far the first layer that trains lies from the input explains "
                f"{round(100 * place.r_squared)}%, since gradients go no further back"
            )
        whose = "That share" if pair is not None else "The share of frozen parameters"
        said.append(f"{whose} {explains}.")
    return " ".join(said)


def first_sentences(answer: FirstAnswer | None, group: GroupSummary) -> tuple[str, ...]:
    """The first lines about a model and setting; empty where its noise allows no answer."""
    if answer is None or group.is_unreadable or not group.candidates:
        return ()
    said = (what_to_freeze(answer), how_sure(answer, group), why_fraction_misleads(group))
    return tuple(filter(None, said))


def _nothing(why: str, *, least: float | None = None) -> FirstAnswer:
    return FirstAnswer(
        found=None,
        halves=False,
        most=None,
        facts=None,
        error=None,
        least=least,
        why_not=why.rstrip("."),
    )


def _answered(sweep: Sweep, group: PredictedGroup, *, frontier: bool) -> FirstAnswer:
    try:
        worth = importance_of(sweep, group, None)
        found, halves = _half_or_fastest(group, worth, frontier=frontier)
    except BudgetError as error:
        return _nothing(str(error), least=error.least)
    except (UsageError, SolverError) as error:
        return _nothing(str(error))
    return FirstAnswer(
        found=found,
        halves=halves,
        most=found.most,
        facts=group.facts,
        error=held_out_error(group.judged()),
        prefix=_prefix(group, worth, found.pick.budget),
    )


def _half_or_fastest(
    group: PredictedGroup, worth: Importance, *, frontier: bool
) -> tuple[Recommendation, bool]:
    """The pick for half the step time, else the fastest; and which of them it is.

    Raises:
        BudgetError: even the fastest takes longer than the baseline.
        UsageError: as `optimise`.
    """
    try:
        return optimise(group, worth, HALF, frontier=frontier), True
    except BudgetError as error:
        if error.least is None:
            raise
        return optimise(group, worth, min(1.0, error.least), frontier=frontier), False


def _prefix(group: PredictedGroup, worth: Importance, budget: float) -> Prefix | None:
    """The shortest prefix, the head excluded, that is predicted to be within a budget."""
    frozen: list[str] = []
    kept = whole = sum(worth.by_layer.values()) or 1.0
    for number, layer in enumerate(group.facts.layers[:-1], start=1):
        if layer is group.facts.head:
            return None
        frozen += [variable.path for variable in layer.variables]
        kept -= worth.by_layer[layer.name]
        speedup = group.predicted(frozen)
        if speedup is not None and speedup * budget >= 1:
            return Prefix(layers=number, speedup=speedup, kept=kept / whole)
    return None
