"""Recommendations within a memory, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_kit import memory_model, step_of
from recommend_kit import chain, configurations, facts_of, frozen_variables, group_of
from test_recommend import importances, models

from frostline.errors import UsageError
from frostline.facts.model_facts import ModelFacts
from frostline.memory.model import AnchorMemory, MemoryModel
from frostline.prediction import PredictedGroup
from frostline.recommendation.importance import Importance
from frostline.recommendation.optimise import BudgetError, optimise


def with_memory(facts: ModelFacts, seed: int, *, slack_bytes: int = 0) -> PredictedGroup:
    group = group_of(facts, seed)
    group.__dict__["memory"] = memory_model(facts, seed, slack_bytes=slack_bytes)
    return group


def equal(facts: ModelFacts) -> Importance:
    return Importance(
        measure="file", words="a test", by_layer={layer.name: 1.0 for layer in facts.layers}
    )


@given(data=st.data(), seed=st.integers(0, 2**16))
@settings(deadline=None, max_examples=40)
def test_brute_force_finds_nothing_better_within_a_memory(data: st.DataObject, seed: int) -> None:
    facts = data.draw(models(7))
    group = with_memory(facts, seed)
    assert group.memory is not None
    importance = data.draw(importances(facts))
    worth = np.array(list(importance.by_layer.values()))
    worth /= worth.max()
    worth /= worth.sum()
    every = []
    for training in configurations(facts):
        frozen = frozen_variables(facts, training)
        every.append(
            (
                group.model.predict(frozen),
                group.memory.predict(frozen).total,
                float(worth @ np.array(training)),
            )
        )
    limit = data.draw(st.sampled_from(sorted({peak for _, peak, _ in every})))
    budget = data.draw(st.sampled_from((1.0, 0.9, 0.7, 0.5)))
    fits = [entry for entry in every if entry[1] <= limit and entry[0] <= budget * (1 - 1e-7)]
    if not fits:
        return  # a budget at the edge is the other test's
    found = optimise(group, importance, budget, memory_bytes=limit, freeze_head=True)
    assert found.peak is not None
    assert found.peak.total <= limit
    assert found.pick.share <= budget * (1 + 1e-9)
    assert found.pick.kept >= max(kept for _, _, kept in fits) - 1e-9
    for point in found.frontier:
        frozen = [v.path for n in point.frozen_layers for v in facts.by_name[n].variables]
        assert group.memory.predict(frozen).total <= limit


@pytest.mark.parametrize("seed", [3, 11])
def test_brute_force_finds_nothing_better_in_twelve_layers(seed: int) -> None:
    facts = facts_of(chain(12), [[10 * (index + 1), 3] for index in range(12)])
    group = with_memory(facts, seed)
    memory = group.memory
    assert memory is not None
    every = {
        training: memory.predict(frozen_variables(facts, training)).total
        for training in configurations(facts)
    }
    limit = sorted(every.values())[len(every) // 3]
    found = optimise(group, equal(facts), 1.0, memory_bytes=limit, freeze_head=True)
    most = max(
        sum(training)
        for training, peak in every.items()
        if peak <= limit and group.model.predict(frozen_variables(facts, training)) <= 1
    )
    assert round(found.pick.kept * 12) == most


def test_a_memory_in_which_nothing_fits_is_refused_with_what_is_needed() -> None:
    facts = facts_of(chain(3), [[10]] * 3)
    with pytest.raises(BudgetError, match="no configuration fits into 1 B: the forward pass"):
        optimise(with_memory(facts, 1), equal(facts), 1.0, memory_bytes=1, freeze_head=True)


def test_without_recorded_tensors_a_memory_is_refused_with_the_command_that_records_them() -> None:
    facts = facts_of(chain(3), [[10]] * 3)
    with pytest.raises(UsageError, match="--retrace"):
        optimise(group_of(facts, 1), equal(facts), 1.0, memory_bytes=10**9, freeze_head=True)


@given(data=st.data(), seed=st.integers(0, 2**16))
@settings(deadline=None, max_examples=60)
def test_training_another_layer_never_needs_less(data: st.DataObject, seed: int) -> None:
    facts = data.draw(models(7))
    memory = memory_model(facts, seed, measured=data.draw(st.booleans()))
    every = frozenset(variable.path for variable in facts.variables)
    less = data.draw(st.frozensets(st.sampled_from(sorted(every))))
    more = less | data.draw(st.frozensets(st.sampled_from(sorted(every))))
    assert memory.peak_bytes(every - less) <= memory.peak_bytes(every - more)


@given(data=st.data(), seed=st.integers(0, 2**16))
@settings(deadline=None, max_examples=40)
def test_the_parts_add_up_to_the_byte(data: st.DataObject, seed: int) -> None:
    facts = data.draw(models(6))
    memory = memory_model(facts, seed)
    for training in configurations(facts):
        frozen = frozenset(frozen_variables(facts, training))
        found = memory.predict(frozen)
        assert found.total == memory.peak_bytes(frozen)
        worked_in = sum(each.n_bytes for each in found.tensors if each.holder == "workspace")
        alive = found.activations + found.gradients + worked_in
        assert sum(each.n_bytes for each in found.tensors) == alive
        assert sum(found.by_layer().values()) == alive


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_large_model_s_answer_fits_and_says_how_much_more_there_may_be(share: float) -> None:
    facts = facts_of(chain(45), [[10 * (index % 7 + 1), 3] for index in range(45)])
    group = with_memory(facts, 5)
    memory = group.memory
    assert memory is not None
    every = frozenset(variable.path for variable in facts.variables)
    least, most = memory.peak_bytes(every), memory.peak_bytes(frozenset())
    limit = round(least + share * (most - least))
    found = optimise(group, equal(facts), 1.0, memory_bytes=limit)
    assert found.peak is not None
    assert found.peak.total <= limit
    pick = found.pick
    assert pick.kept <= pick.kept_at_most <= 1
    assert pick.kept > 0.9 * pick.kept_at_most


def test_where_not_even_the_forward_pass_fits_the_message_says_what_it_needs() -> None:
    facts = facts_of(chain(3), [[10, 3]] * 3)
    group = with_memory(facts, 5)
    assert group.memory is not None
    every = frozenset(variable.path for variable in facts.variables)
    limit = group.memory.peak_bytes(every) - 1
    with pytest.raises(BudgetError, match=r"no configuration fits into .*: the forward pass alone"):
        optimise(group, equal(facts), 1.0, memory_bytes=limit)


def cheapest(group: PredictedGroup, *, trains: str | None) -> int:
    """The least peak of all configurations in which a layer trains."""
    memory, facts = group.memory, group.facts
    assert memory is not None
    names = list(facts.by_name)
    return min(
        memory.peak_bytes(frozenset(frozen_variables(facts, training)))
        for training in configurations(facts)
        if trains is None or training[names.index(trains)]
    )


def test_the_head_is_blamed_only_where_it_is_what_does_not_fit() -> None:
    """The head has most parameters, and nobody asked for it by name."""
    facts = facts_of(chain(3), [[10], [10], [4000]])
    group = with_memory(facts, 5)
    least, with_head = cheapest(group, trains=None), cheapest(group, trains="l2")
    assert least < with_head - 1
    for limit, must_train, said in (
        (with_head - 1, (), ", and the head cannot train in what is left"),
        (with_head - 1, ("l0",), ", and the layers under --train and the head cannot train in wh"),
        (least - 1, (), ", and no layer can train in what is left"),
        (least - 1, ("l0",), ", and no layer can train in what is left"),
    ):
        with pytest.raises(BudgetError) as raised:
            optimise(group, equal(facts), 1.0, memory_bytes=limit, must_train=must_train)
        assert said in str(raised.value)
        assert ("--freeze-head" in str(raised.value)) == ("the head" in said)
    with pytest.raises(BudgetError, match="the layers under --train cannot train"):
        optimise(
            group, equal(facts), 1.0,
            memory_bytes=with_head - 1, must_train=("l2",), freeze_head=True,
        )  # fmt: skip


def test_a_batch_of_open_size_is_among_what_is_not_known() -> None:
    facts = facts_of(chain(3), [[10]] * 3)
    known = memory_model(facts, 1).predict(())
    assert (known.unknown, known.left_out) == (0, "")
    found = MemoryModel(
        facts,
        [
            AnchorMemory(
                frozen_variables=frozenset(), weights_bytes=120, optimizer_slots_bytes=240,
                input_bytes=None, peak_bytes=None, graph=step_of(facts, 1),
            )
        ],
    ).predict(())  # fmt: skip
    assert (found.batch, found.unknown) == (0, 1)
    assert found.left_out == "The size of 1 tensor is not known, and it counts as 0 bytes."


def test_the_allocator_s_slack_has_to_fit_too() -> None:
    facts = facts_of(chain(4), [[10, 3]] * 4)
    group = with_memory(facts, 5)
    assert group.memory is not None
    whole = group.memory.peak_bytes(frozenset())
    assert not optimise(group, equal(facts), 1.0, memory_bytes=whole).pick.frozen_layers
    slack = with_memory(facts, 5, slack_bytes=whole // 10)
    found = optimise(slack, equal(facts), 1.0, memory_bytes=whole)
    assert found.peak is not None
    assert found.peak.slack == whole // 10
    assert found.peak.total <= whole
    assert found.pick.frozen_layers
