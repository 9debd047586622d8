"""The search for layers that cannot train together within a number of bytes."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recommend_kit import chain, facts_of

from frostline.errors import UsageError
from frostline.recommendation.memory_limit import MemoryLimit, parse_size


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


class Sum:
    """A memory that needs a number of bytes for each layer that trains."""

    def __init__(self, facts: object, sizes: list[int]) -> None:
        self._facts, self._sizes = facts, sizes

    def peak_bytes(self, frozen: Collection[str]) -> int:
        layers = self._facts.layers  # type: ignore[attr-defined]
        return 100 + sum(
            size
            for layer, size in zip(layers, self._sizes, strict=True)
            if any(variable.path not in frozen for variable in layer.variables)
        )


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4), st.integers(80, 300), st.data())
def test_the_fewest_layers_exceed_the_limit_and_no_part_of_them_does(
    sizes: list[int], limit: int, data: st.DataObject
) -> None:
    facts = facts_of(chain(4), [[3]] * 4)
    memory = Sum(facts, sizes)
    training = data.draw(st.lists(st.booleans(), min_size=4, max_size=4))
    found = MemoryLimit(memory, facts, limit).excess(training)  # type: ignore[arg-type]

    def needed(layers: Collection[int]) -> int:
        return 100 + sum(sizes[each] for each in layers)

    chosen = [position for position, trains in enumerate(training) if trains]
    if found is None:
        assert needed(chosen) <= limit
        return
    assert set(found) <= set(chosen)
    assert needed(found) > limit
    if found:
        assert all(needed(part) <= limit for part in combinations(found, len(found) - 1))
