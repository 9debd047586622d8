"""What to freeze in one model under one setting, to bring its step within a budget.

In: a group with its cost model, what the layers are worth, a budget. Out: `Recommendation`. Refuses
a budget that is not above 0 and up to 1, and one below the fastest configuration, which it names.
Pure.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np

from frostline.billing.run import Run
from frostline.errors import UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.listing import listed, quoted
from frostline.policies.units import paths_of, resolve, variables_of
from frostline.prediction import PredictedGroup, answer
from frostline.recommendation.importance import Importance
from frostline.recommendation.keras_code import keras_code
from frostline.recommendation.memory_limit import MemoryLimit
from frostline.recommendation.program import Program, program_of
from frostline.recommendation.quiet import quiet_stdout
from frostline.recommendation.recommendation import Point, Recommendation
from frostline.recommendation.solve import TOLERANCE, Found, Solver
from frostline.words import size

AskedAs = Literal["budget", "speedup"]
"""How a budget was given: as a share of the step, or as a factor."""

_STEPS = (0.1, 0.05, 0.02, 0.01)
_FEWEST_POINTS = 5
_LARGE = 1e-3
"""Share of the baseline's peak from which on a tensor's condition gets a column of its own."""


class BudgetError(UsageError):
    """No configuration is that fast.

    Attributes:
        least: the smallest budget that can be met; None where none can.
    """

    def __init__(self, message: str, least: float | None = None) -> None:
        """Take the message and the least budget."""
        super().__init__(message)
        self.least = least


def optimise(
    group: PredictedGroup,
    importance: Importance,
    budget: float,
    *,
    must_train: Collection[str] = (),
    freeze_head: bool = False,
    asked_as: AskedAs = "budget",
    frontier: bool = True,
    memory_bytes: int | None = None,
    run: Run | None = None,
) -> Recommendation:
    """Find what to freeze.

    Args:
        group: the model under a setting, with its cost model.
        importance: of its layers.
        budget: step time / the baseline's, above 0 and not above 1.
        must_train: layers that are not to be frozen, by name or by an end of it, or enclosing ones;
            `head` is the model's head whatever its name.
        freeze_head: the head may be frozen.
        asked_as: `speedup` where errors are to be in factors.
        frontier: search round budgets as well; else the pick alone, which takes less time.
        memory_bytes: device memory at most, by the predicted peak and what the allocator adds;
            None: any.
        run: with examples and epochs, for the bill; None: no bill.

    Raises:
        BudgetError: the fastest configuration takes longer, or none fits into the memory.
        UsageError: the budget is out of range; the model has no such layer as one of `must_train`;
            the anchors leave a layer without a price.
    """
    refuse_budget(budget)
    facts = group.facts
    names = [layer.name for layer in facts.layers]
    implied = [] if freeze_head or facts.head is None else [facts.head.name]
    kept_in = _positions(facts, [*must_train, *implied])
    values = np.array([importance.by_layer[layer.name] for layer in facts.layers])

    def price(training: tuple[bool, ...]) -> float:
        return group.model.predict(_frozen_variables(facts, training))

    def point(budget: float, found: Found) -> Point:
        return Point(
            budget=budget,
            share=found.share,
            kept=found.kept,
            kept_at_most=found.kept_at_most,
            frozen_layers=tuple(
                layer.name
                for layer, trains in zip(facts.layers, found.training, strict=True)
                if not trains
            ),
        )

    program, limit = _program(group, memory_bytes)
    solver = Solver(
        program,
        values,
        price,
        must_train=kept_in,
        limit=limit,
    )
    with quiet_stdout(), ThreadPoolExecutor(min(4, len(os.sched_getaffinity(0)))) as pool:
        fastest = solver.fastest()
        free = Solver(program, values, price, limit=limit).fastest() if kept_in else fastest
        if fastest is None or free is None:
            kept = _kept_words(must_train, head=bool(implied)) if free else ""
            raise BudgetError(_no_room(group, memory_bytes, kept))
        if fastest.share > budget * (1 + TOLERANCE):
            least = point(fastest.share, fastest)
            others = ["for fewer layers under --train"] if must_train else []
            others += ["for less with --freeze-head"] if implied else []
            said = (
                _too_small(group, least, budget, asked_as, others)
                if fastest.share <= 1 + TOLERANCE
                else _never(group, least, others if free.share <= 1 else ())
            )
            raise BudgetError(said, fastest.share * (1 + TOLERANCE))
        budgets = _budgets(fastest.share, budget) if frontier else [budget]
        if limit is not None:  # each search takes several runs of the solver
            budgets = sorted({budgets[0], budget})
        budgets.sort(key=lambda each: each != budget)  # the longest search starts first
        searches = {
            each: pool.submit(solver.best, each, thrifty=each == budget) for each in budgets
        }
        found = {each: search.result() for each, search in searches.items()}
    points = [point(each, best) for each, best in sorted(found.items()) if best is not None]
    pick = next(each for each in points if each.budget == budget)
    (predicted,) = answer(
        group, [policy_of(pick.frozen_layers, facts)], granularity="layer", seed=0, run=run
    )
    head = facts.head
    return Recommendation(
        key=group.key,
        device_kind=group.device_kind,
        title=group.title,
        importance=importance,
        pick=pick,
        answer=predicted,
        training_layers=tuple(
            layer.name for layer in facts.layers if layer.name not in pick.frozen_layers
        ),
        head_frozen=head.name if head is not None and head.name in pick.frozen_layers else None,
        fastest=point(fastest.share, fastest),
        frontier=tuple(_distinct(points, pick)),
        most=1 / min(fastest.share, free.share),
        code=keras_code(facts, pick.frozen_layers),
        memory_bytes=memory_bytes,
        peak=group.peak(_frozen_variables(facts, [n not in pick.frozen_layers for n in names])),
    )


def _program(group: PredictedGroup, memory_bytes: int | None) -> tuple[Program, MemoryLimit | None]:
    """The program to search in, and the limit on memory where there is one."""
    if memory_bytes is None:
        return program_of(group.model), None
    if group.memory is None:
        raise UsageError(
            f"{group.title}: nothing is known of its memory, because the tensors of its step "
            "were not recorded; `frostline reattribute OUT --retrace` traces it again and fills "
            "them in"
        )
    program = program_of(group.model, sets=group.memory.sets_of_layers(_LARGE))
    return program, MemoryLimit(group.memory, group.facts, program, memory_bytes)


def _kept_words(must_train: Collection[str], *, head: bool) -> str:
    """What has to train, in words; empty where nothing has to."""
    named = ["the layers under --train"] if must_train else []
    return " and ".join([*named, *(["the head"] if head else [])])


def _no_room(group: PredictedGroup, memory_bytes: int | None, kept: str) -> str:
    """What to say where nothing fits into the memory; `kept` has to train, and others could."""
    if group.memory is None or memory_bytes is None:
        return f"{group.title}: no configuration at all is possible"
    every = frozenset(variable.path for variable in group.facts.variables)
    forward = group.memory.peak_bytes(every)
    beside, ask = "", ""
    if forward <= memory_bytes:
        beside = f", and {kept or 'no layer'} can{'not' if kept else ''} train in what is left"
        ask = ", or try --freeze-head" if kept.endswith("the head") else ""
    return (
        f"{group.title}: no configuration fits into {size(memory_bytes)}: the forward pass "
        f"alone needs {size(forward)}{beside}. Lower batch_size in the study, or ask for more "
        f"--memory{ask}"
    )


def _distinct(points: Sequence[Point], pick: Point) -> list[Point]:
    """Each configuration once: under the smallest budget that it fits, or the one asked for."""
    found: dict[tuple[str, ...], Point] = {}
    for each in points:
        if each is pick or each.frozen_layers not in found:
            found[each.frozen_layers] = each
    return sorted(found.values(), key=lambda each: each.budget)


def refuse_budget(budget: float) -> None:
    """Raise where a budget is out of range.

    Raises:
        UsageError: it is not above 0 and up to 1.
    """
    if not 0 < budget <= 1:
        percent = f" (did you mean {budget / 100:g}?)" if 1 < budget <= 100 else ""
        raise UsageError(
            f"a budget of {budget:g}: it is the step's share of the baseline's, above 0 and up to "
            f"1; 0.5 is half the time{percent}"
        )


def policy_of(frozen_layers: Sequence[str], facts: ModelFacts) -> str:
    """The policy that freezes exactly these layers of a model."""
    if not frozen_layers:
        return "none"
    if any(set(",+") & set(name) for name in frozen_layers):  # these separate names and policies
        return f"regex:^(?:{'|'.join(map(re.escape, frozen_layers))})$"
    paths = {variable.path for variable in facts.variables}
    own = variables_of(*(facts.by_name[name] for name in frozen_layers))
    named = (resolve(name, facts, variables=True)[1] for name in frozen_layers)
    if paths.isdisjoint(frozen_layers) and frozenset().union(*named) == own:
        return f"list:{','.join(frozen_layers)}"
    return f"list:{','.join(paths_of(facts, frozen_layers))}"


def _positions(facts: ModelFacts, names: Collection[str]) -> tuple[int, ...]:
    paths: set[str] = set()
    for name in names:
        known = facts.head if name == "head" and "head" not in facts.by_name else None
        paths |= resolve(known.name if known else name, facts, variables=False)[1]
    return tuple(
        position
        for position, layer in enumerate(facts.layers)
        if any(variable.path in paths for variable in layer.variables)
    )


def _frozen_variables(facts: ModelFacts, training: Sequence[bool]) -> tuple[str, ...]:
    named = zip(facts.layers, training, strict=True)
    return paths_of(facts, (layer.name for layer, trains in named if not trains))


def _budgets(fastest: float, asked: float) -> list[float]:
    """Round budgets from the fastest configuration to the baseline, and the budget asked for."""
    for step in _STEPS:
        first = math.floor(fastest / step + TOLERANCE) + 1
        grid = [round(number * step, 2) for number in range(first, round(1 / step) + 1)]
        if len(grid) >= _FEWEST_POINTS:
            break
    return sorted({fastest * (1 + TOLERANCE), *grid, asked} - {0.0})


def _never(group: PredictedGroup, fastest: Point, others: Sequence[str]) -> str:
    """What to say where even the fastest configuration takes longer than the baseline."""
    baseline = "the baseline" if group.key.variant is None else "the plain model's baseline"
    return (
        f"{group.title}: every configuration takes longer than {baseline}. The fastest is "
        f"predicted at {fastest.share:.3f} of its step, so no budget can be met"
        + (f". Ask {' or '.join(others)}" if others else "")
    )


def _too_small(
    group: PredictedGroup, fastest: Point, budget: float, asked_as: AskedAs, others: Sequence[str]
) -> str:
    """What to say where nothing is fast enough, in the words of the option that asked."""
    training = [each.name for each in group.facts.layers if each.name not in fastest.frozen_layers]
    prices = group.model.prices(paths_of(group.facts, fastest.frozen_layers))
    forward = sum(price.forward for price in prices) / group.model.baseline
    least = math.ceil(fastest.share * 1000) / 1000
    most = math.floor(1000 / fastest.share) / 1000
    asked, reached, instead = (
        (f"make the step {1 / budget:.3g} times as fast", f"{most:g} times as fast", "--speedup")
        if asked_as == "speedup"
        else (
            f"bring the step to {budget:.3g} of the baseline's",
            f"{fastest.share:.3f} of the baseline's",
            "--budget",
        )
    )
    ask = f"{instead} {most:g} or less" if asked_as == "speedup" else f"{instead} {least:g} or more"
    also = "".join(f", or {other}" for other in others)
    return (
        f"{group.title}: freezing cannot {asked}. The fastest configuration is predicted at "
        f"{reached}; it trains {listed(quoted(training), noun='layers')}, and {forward:.3f} of "
        f"the baseline's step is the forward pass and other parts that no freeze removes. "
        f"Ask for {ask}{also}"
    )
