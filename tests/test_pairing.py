"""The estimator of the speedup: looks, interval, order."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from frostline.measure.pairing import SpeedupEstimate, estimate, first_arm_is_baseline, looks
from frostline.trial import StoppingRule


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


@pytest.mark.parametrize(
    ("pairs", "low", "high"), [(6, 1, 6), (10, 2, 9), (15, 4, 12), (22, 6, 17), (60, 22, 39)]
)
def test_the_exact_interval_lies_between_the_ratios_of_the_sign_test(
    pairs: int, low: int, high: int
) -> None:
    """The innermost ranks whose interval covers the median in 95% of samples or more."""
    ratios = np.random.default_rng(0).permutation(np.arange(1.0, pairs + 1))
    found = estimate(list(ratios))
    assert (found.low, found.high) == (low, high)
    below = stats.binom(pairs, 0.5).cdf
    assert 1 - 2 * below(low - 1) >= 0.95 > 1 - 2 * below(low)


def test_too_few_pairs_for_95_percent_have_their_range() -> None:
    found = estimate([1.2, 1.0, 1.1, 9.0, 1.3])
    assert (found.speedup, found.low, found.high) == (1.2, 1.0, 9.0)


def covered(rule: StoppingRule) -> float:
    """How often the interval at which a measurement stops contains the truth."""
    rng = np.random.default_rng(7)
    hits = 0
    for trial in range(300):
        noise = rng.normal(0, 0.025, size=60)
        ratios = 1.7 * np.exp(noise)
        for point in looks(10, 60):
            got = estimate(list(ratios[:point]), rule=rule, seed=trial)
            if got.width_by(rule) <= 0.015:
                break
        hits += got.low <= 1.7 <= got.high
    return hits / 300


def test_an_interval_that_stops_the_measurement_covers_as_often_as_it_says() -> None:
    assert 0.93 <= covered("exact_relative_half_width") <= 0.99
    assert covered("relative_half_width") <= 0.92, "why the bootstrap was left"


@pytest.mark.parametrize("rule", get_args(StoppingRule))
def test_estimate_is_the_median_and_repeatable(rule: StoppingRule) -> None:
    ratios = [1.0, 1.1, 1.3, 9.0, 1.2]
    first, second = (estimate(ratios, rule=rule, seed=3) for _ in range(2))
    assert first == second
    assert first.speedup == 1.2
    assert first.low <= 1.2 <= first.high


@pytest.mark.parametrize("rule", get_args(StoppingRule))
def test_equal_ratios_have_no_width(rule: StoppingRule) -> None:
    for pairs in (3, 10):
        assert estimate([2.0] * pairs, rule=rule).half_width == 0


def test_the_stopping_rule_says_what_is_compared_with_the_target() -> None:
    """A speedup of 6 to within 1% is precise, though its half-width is 0.06."""
    fast = SpeedupEstimate(speedup=6.0, low=5.94, high=6.06)
    assert fast.width_by("half_width") == pytest.approx(0.06)
    assert fast.width_by("relative_half_width") == pytest.approx(0.01)
    assert fast.width_by("exact_relative_half_width") == pytest.approx(0.01)
    slow = SpeedupEstimate(speedup=0.5, low=0.49, high=0.51)
    assert slow.width_by("relative_half_width") == pytest.approx(0.02)


@pytest.mark.parametrize("ratios", [[], [1.0], [1.0, float("nan")], [1.0, 0.0], [1.0, -2.0]])
def test_what_cannot_be_estimated_is_refused(ratios: list[float]) -> None:
    with pytest.raises(ValueError, match="2 or more positive"):
        estimate(ratios)


def test_order_is_balanced_and_differs_between_trials() -> None:
    a = [first_arm_is_baseline(i, seed=1, label="a") for i in range(200)]
    b = [first_arm_is_baseline(i, seed=1, label="b") for i in range(200)]
    assert sum(a) == 100
    assert all(sum(a[i : i + 4]) == 2 for i in range(0, 200, 4))
    assert a != b
    assert 12 <= sum(a[::4]) <= 38, "which comes first of four is drawn"


def test_noise_that_lasts_longer_than_a_block_does_not_narrow_intervals() -> None:
    """Blocks with a correlation of 0.5 from each to the next. Were the orders of every two pairs
    opposite, it would be 0.04 here; of ratios without any correlation the estimate is -1/60.
    """
    rng = np.random.default_rng(0)
    correlations = []
    for trial in range(200):
        noise = [0.0]
        for shock in rng.normal(size=2 * 60):
            noise.append(0.5 * noise[-1] + shock)
        ratios = []
        for pair in range(60):
            first, second = noise[2 * pair + 1 : 2 * pair + 3]
            sign = 1 if first_arm_is_baseline(pair, seed=1, label=f"{trial}") else -1
            ratios.append(sign * (first - second))
        correlations.append(np.corrcoef(ratios[:-1], ratios[1:])[0, 1])
    assert -0.1 < float(np.mean(correlations)) < 0.0
