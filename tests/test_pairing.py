"""The estimator of the speedup: looks, interval, order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.measure.pairing import SpeedupEstimate, estimate, first_arm_is_baseline, looks


def test_looks_follow_the_fixed_schedule() -> None:
    assert looks(10, 60) == (10, 15, 22, 33, 60)


def test_looks_start_at_min_and_end_at_max() -> None:
    assert looks(5, 12) == (5, 10, 12)
    assert looks(60, 60) == (60,)
    assert looks(10, 200) == (10, 15, 22, 33, 60, 90, 135, 200)


@given(st.integers(2, 500), st.integers(0, 500))
def test_looks_are_ascending_and_bounded(low: int, extra: int) -> None:
    points = looks(low, low + extra)
    assert list(points) == sorted(set(points))
    assert points[0] == low
    assert points[-1] == low + extra


@pytest.mark.parametrize("bounds", [(1, 10), (10, 9), (0, 0)])
def test_impossible_bounds_are_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="min_pairs <= max_pairs"):
        looks(*bounds)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for trial in range(400):
        ratios = 1.7 * np.exp(rng.normal(0, 0.05, size=15))
        got = estimate(list(ratios), seed=trial)
        covered += got.low <= 1.7 <= got.high
    assert 0.90 <= covered / 400 <= 0.99


def test_estimate_is_the_median_and_repeatable() -> None:
    ratios = [1.0, 1.1, 1.3, 9.0, 1.2]
    first, second = estimate(ratios, seed=3), estimate(ratios, seed=3)
    assert first == second
    assert first.speedup == 1.2
    assert first.low <= 1.2 <= first.high


def test_equal_ratios_have_no_width() -> None:
    assert estimate([2.0, 2.0, 2.0], seed=0).half_width == 0


def test_the_stopping_rule_says_what_is_compared_with_the_target() -> None:
    """A speedup of 6 to within 1% is precise, though its half-width is 0.06."""
    fast = SpeedupEstimate(speedup=6.0, low=5.94, high=6.06)
    assert fast.width_by("half_width") == pytest.approx(0.06)
    assert fast.width_by("relative_half_width") == pytest.approx(0.01)
    slow = SpeedupEstimate(speedup=0.5, low=0.49, high=0.51)
    assert slow.width_by("relative_half_width") == pytest.approx(0.02)


@pytest.mark.parametrize("ratios", [[], [1.0], [1.0, float("nan")], [1.0, 0.0], [1.0, -2.0]])
def test_what_cannot_be_estimated_is_refused(ratios: list[float]) -> None:
    with pytest.raises(ValueError, match="2 or more positive"):
        estimate(ratios, seed=0)


def test_order_is_balanced_and_differs_between_trials() -> None:
    a = [first_arm_is_baseline(i, seed=1, label="a") for i in range(200)]
    b = [first_arm_is_baseline(i, seed=1, label="b") for i in range(200)]
    assert sum(a) == 100
    assert all(a[i] != a[i + 1] for i in range(0, 200, 2))
    assert a != b
    assert 25 <= sum(a[::2]) <= 75
