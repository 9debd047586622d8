"""Numbers of steps: timed, thrown away after a switch, run before any counts."""

from __future__ import annotations

import pytest

from frostline.measure.blocks import block_steps, cold_steps, settling_steps


@pytest.mark.parametrize(
    ("step_ms", "timed", "cold"), [(100, 1, 1), (20, 1, 1), (7, 3, 3), (4, 5, 4), (1, 20, 10)]
)
def test_a_block_lasts_20_ms_and_cold_steps_are_half_of_it_or_four(
    step_ms: float, timed: int, cold: int
) -> None:
    assert block_steps(step_ms * 1e6) == timed
    assert cold_steps(timed) == cold


@pytest.mark.parametrize(
    ("done", "step_ms", "further"),
    [(0, 1, 100), (30, 1, 70), (0, 20, 100), (0, 21, 0), (100, 1, 0)],
)
def test_a_step_settles_within_a_hundred_calls_unless_they_take_over_two_seconds(
    done: int, step_ms: float, further: int
) -> None:
    assert settling_steps(done, step_ms * 1e6) == further
