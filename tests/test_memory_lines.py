"""Lines through what anchors measured: no configuration needs less than nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.memory.lines import Workspace

POINTS = st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), min_size=1, max_size=6)


@given(points=POINTS, alive=st.integers(0, 2 * 10**12))
def test_nothing_needs_less_than_nothing(points: list[tuple[int, int]], alive: int) -> None:
    assert alive + Workspace(points).at(alive) >= 0


@given(points=POINTS, alive=st.lists(st.integers(0, 2 * 10**12), min_size=2, max_size=2))
def test_where_more_is_alive_no_less_is_needed(
    points: list[tuple[int, int]], alive: list[int]
) -> None:
    less, more = sorted(alive)
    found = Workspace(points)
    assert less + found.at(less) <= more + found.at(more) + 1, "to the byte that is rounded"


def test_a_program_that_works_in_place_needs_in_proportion_to_what_is_alive() -> None:
    """GIVEN a peak of 15,792 bytes for 40,000 alive THEN 16,640 alive need 6,569 of them."""
    found = Workspace([(40_000, 15_792)])
    assert found.at(40_000) == -24_208
    assert 16_640 + found.at(16_640) == pytest.approx(6_569, abs=1)
    assert found.at(0) == 0


def test_below_the_least_anchor_what_comes_on_top_stays() -> None:
    found = Workspace([(40_000, 45_000), (80_000, 90_000)])
    assert (found.at(10_000), found.at(100_000)) == (5_000, 10_000)
