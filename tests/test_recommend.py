"""Recommendations against brute force, over random models, wirings and prices."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recommend_kit import chain, configurations, facts_of, frozen_variables, group_of
from scipy import optimize

from frostline.facts.model_facts import ModelFacts
from frostline.recommendation.importance import Importance
from frostline.recommendation.optimise import BudgetError, optimise
from frostline.recommendation.program import program_of
from frostline.recommendation.quiet import quiet_stdout
from frostline.recommendation.solve import Solver, SolverError


@st.composite
def models(draw: st.DrawFn, most: int) -> ModelFacts:
    """Chains, towers, forks, and layers that are called again behind others."""
    length = draw(st.integers(1, most))
    above: list[set[int]] = []
    for index in range(length):
        parents = draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set()
        above.append(parents.union(*(above[parent] for parent in parents)))
    if length > 2 and draw(st.booleans()):  # a layer that is called again behind another one
        early, late = sorted(draw(st.sets(st.integers(0, length - 1), min_size=2, max_size=2)))
        for index, found in enumerate(above):
            if index == early or early in found:
                found |= {early, late} | above[late]
    sizes = st.lists(st.sampled_from((1, 4, 64, 1000)), min_size=1, max_size=2)
    params = draw(st.lists(sizes, min_size=length, max_size=length))
    facts = facts_of([sorted(found) for found in above], params)
    # One of several losses, without which the step fails.
    group = draw(st.sets(st.sampled_from([layer.name for layer in facts.layers])))
    paths = tuple(each.path for each in facts.variables if each.layer in group)
    return replace(facts, must_train=(paths,) if paths else ())


def importances(facts: ModelFacts) -> st.SearchStrategy[Importance]:
    worth = (
        st.sampled_from((0.0, 0.5, 1.0, 2.0)) | st.floats(0, 1e3) | st.sampled_from((5e-324, 1e308))
    )
    count = len(facts.layers)
    return st.lists(worth, min_size=count, max_size=count).filter(any).map(
        lambda values: Importance(
            measure="file",
            words="a test",
            by_layer={layer.name: value for layer, value in zip(facts.layers, values, strict=True)},
        )
    )  # fmt: skip


@given(facts=models(6), seed=st.integers(0, 2**16))
@settings(deadline=None, max_examples=60)
def test_the_program_prices_every_configuration_as_the_cost_model_does(
    facts: ModelFacts, seed: int
) -> None:
    model = group_of(facts, seed).model
    program = program_of(model)
    for training in configurations(facts):
        fixed = np.array(training, dtype=float)
        lower, upper = np.zeros(program.columns), program.upper.copy()
        lower[: len(fixed)] = upper[: len(fixed)] = fixed
        rows = optimize.LinearConstraint(program.rows, program.row_lower, program.row_upper)
        expected = model.predict(frozen_variables(facts, training))
        # Whether it is to be small or large: the other columns leave no room, but for the one that
        # may lie above the optimizer's share.
        signs = (1.0, -1.0) if np.isfinite(program.upper).all() else (1.0,)
        for sign in signs:
            with quiet_stdout():
                found = optimize.milp(
                    sign * program.cost,
                    bounds=optimize.Bounds(lower, upper),
                    constraints=rows,
                )
            cost = float(program.cost @ found.x) + program.fixed_cost
            assert cost == pytest.approx(expected, abs=1e-6)


@given(data=st.data(), seed=st.integers(0, 2**16))
@settings(deadline=None, max_examples=40)
def test_brute_force_finds_nothing_better(data: st.DataObject, seed: int) -> None:
    facts = data.draw(models(8))
    group = group_of(facts, seed, largest_ns=data.draw(st.sampled_from((3, 50, 10_000))))
    importance = data.draw(importances(facts))
    worth = np.array(list(importance.by_layer.values()))
    worth /= worth.max()
    worth /= worth.sum()
    every = [
        (
            group.model.predict(frozen_variables(facts, training)),
            float(worth @ np.array(training)),
        )
        for training in configurations(facts)
    ]
    fastest = min(share for share, _ in every)
    # A budget that some configuration meets to the last digit, or any other one.
    budget = data.draw(
        st.sampled_from(sorted({share for share, _ in every if 0 < share <= 1}))
        | st.floats(0.01, 1)
    )
    if fastest > budget * (1 + 1e-9):
        with pytest.raises(BudgetError, match="cannot bring the step to"):
            optimise(group, importance, budget, freeze_head=True)
        return
    found = optimise(group, importance, budget, freeze_head=True)
    assert found.fastest.share == pytest.approx(fastest, rel=1e-9)
    for point in found.frontier:
        within = [entry for entry in every if entry[0] <= point.budget]
        best = max(kept for _, kept in within)
        assert point.kept >= best - 1e-9
        assert point.share <= point.budget * (1 + 1e-9)
        assert point.kept_at_most == point.kept
    as_good = [
        share for share, kept in every
        if share <= budget and kept >= found.pick.kept
    ]  # fmt: skip
    assert not as_good or found.pick.share <= min(as_good) * (1 + 1e-6)


# Importances close to each other: stopping within 5% of the optimum would be seen.
@pytest.mark.parametrize(("seed", "budget"), [(5, 0.7), (28, 0.8)])
def test_brute_force_finds_nothing_better_in_twelve_layers(seed: int, budget: float) -> None:
    facts = facts_of(chain(12), [[10 * (index + 1), 3] for index in range(12)])
    group = group_of(facts, seed)
    rng = random.Random(seed)
    worth = np.array([float(rng.randint(50, 100)) for _ in facts.layers])
    importance = Importance(
        measure="file",
        words="a test",
        by_layer={layer.name: value for layer, value in zip(facts.layers, worth, strict=True)},
    )
    found = optimise(group, importance, budget, freeze_head=True)
    best = max(
        float(worth @ np.array(training))
        for training in configurations(facts)
        if group.model.predict(frozen_variables(facts, training)) <= budget
    )
    assert found.pick.kept == pytest.approx(best / worth.sum(), rel=1e-12)


def test_the_cost_model_has_the_last_word_on_what_fits_the_budget() -> None:
    facts = facts_of(chain(4), [[10]] * 4)
    group = group_of(facts, 1)
    worth = np.array([1.0, 2.0, 4.0, 8.0])
    refused: set[tuple[bool, ...]] = set()

    def price(training: tuple[bool, ...]) -> float:
        exact = group.model.predict(frozen_variables(facts, training))
        return exact + (training in refused)

    solver = Solver(program_of(group.model), worth, price)
    with quiet_stdout():
        kept = []
        for _ in range(5):
            found = solver.best(1.0)
            assert found is not None
            kept.append(found.kept * worth.sum())
            refused.add(found.training)
    fits = [
        float(worth @ np.array(training))
        for training in configurations(facts)
        if group.model.predict(frozen_variables(facts, training)) <= 1
    ]
    assert kept == pytest.approx(sorted(fits, reverse=True)[:5])


def test_a_search_that_is_cut_short_bounds_what_it_may_have_missed() -> None:
    facts = facts_of(chain(60), [[10]] * 60)
    group = group_of(facts, 3)
    rng = random.Random(3)
    worth = np.array([rng.uniform(50, 100) for _ in facts.layers])
    program = program_of(group.model)

    def solver(time_limit_s: float) -> Solver:
        return Solver(
            program,
            worth,
            lambda training: group.model.predict(frozen_variables(facts, training)),
            time_limit_s=time_limit_s,
        )

    with quiet_stdout():
        short, exact = solver(0.25).best(0.7), solver(60.0).best(0.7)
        with pytest.raises(SolverError, match="the solver found no configuration"):
            solver(0.0).best(0.7)
    assert short is not None
    assert exact is not None
    assert short.kept <= exact.kept + 1e-9
    assert exact.kept <= short.kept_at_most + 1e-9
    assert exact.kept_at_most == exact.kept
