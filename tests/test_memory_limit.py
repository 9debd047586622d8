"""The search for layers that cannot train together within a number of bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_kit import memory_model
from recommend_kit import configurations, frozen_variables, group_of
from test_recommend import models

from frostline.errors import UsageError
from frostline.memory.least import meets
from frostline.recommendation.memory_limit import Cut, MemoryLimit, parse_size
from frostline.recommendation.program import Program, program_of


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("16GiB", 16 * 2**30), ("800MB", 800 * 10**6), ("1.5 gb", 1_500_000_000), ("4096", 4096),
        (" 2 kib ", 2048),
    ],
)  # fmt: skip
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", "0GB", "-1GB", "16 GiB GiB", "lots", "nan", "2e9", "1XB"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--memory"):
        parse_size(text)


@given(data=st.data(), seed=st.integers(0, 2**16))
@settings(deadline=None, max_examples=60)
def test_a_row_excludes_what_exceeds_the_limit_and_nothing_that_keeps_it(
    data: st.DataObject, seed: int
) -> None:
    facts = data.draw(models(6))
    memory = memory_model(facts, seed)
    program = program_of(group_of(facts, seed).model)
    peaks = {
        training: memory.predict(frozen_variables(facts, training)).total
        for training in configurations(facts)
    }
    limit = data.draw(st.sampled_from(sorted(peaks.values())))
    asked = MemoryLimit(memory, facts, program, limit)
    for training, peak in peaks.items():
        cuts = asked.excess(training)
        assert bool(cuts) == (peak > limit)
        assert not cuts or any(not keeps(program, cut, training) for cut in cuts)
        for other, needed in peaks.items():
            if needed <= limit:
                assert all(keeps(program, cut, other) for cut in cuts)


def keeps(program: Program, cut: Cut, training: tuple[bool, ...]) -> bool:
    """Whether a configuration satisfies a row."""
    trains = sum(1 << position for position, flag in enumerate(training) if flag)
    value = {column: float(bool(mask & trains)) for mask, column in program.sets.items()}
    return sum(coef * value.get(column, 0.0) for column, coef in cut.values.items()) <= cut.upper


@given(data=st.data(), seed=st.integers(0, 2**16))
@settings(deadline=None, max_examples=40)
def test_what_is_alive_at_least_is_never_more_than_what_is_alive(
    data: st.DataObject, seed: int
) -> None:
    facts = data.draw(models(6))
    memory = memory_model(facts, seed)
    for training in configurations(facts):
        frozen = frozenset(frozen_variables(facts, training))
        trains = sum(1 << position for position, flag in enumerate(training) if flag)
        found = memory.predict(frozen)
        for op in memory.moments_above(frozen, 0):
            least = sum(
                n_bytes
                for when, n_bytes in memory.least_at(op, trains).items()
                if meets(when, trains)
            )
            assert least <= sum(each.n_bytes for each in found.tensors)
