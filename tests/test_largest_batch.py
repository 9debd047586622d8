"""The largest batch that fits into a memory."""

from __future__ import annotations

import pytest

from frostline.memory.largest_batch import largest_batch, peak_bytes_at
from frostline.memory.peak_prediction import PeakPrediction


def peak(*, weights: int = 100, slots: int = 200, grows: int, gradients: int) -> PeakPrediction:
    return PeakPrediction(
        weights=weights, optimizer_slots=slots, batch=0, activations=grows, gradients=gradients,
        workspace=0, slack=0, tensors=(), layer=None, pass_=None, unknown=0,
    )  # fmt: skip


def test_two_batch_sizes_tell_what_stays() -> None:
    at = {8: peak(grows=80, gradients=100), 16: peak(grows=160, gradients=100)}
    assert largest_batch(at, 1000) == 60  # 400 stay, each example takes 10
    assert largest_batch(at, 399) == 0
    assert peak_bytes_at(at, 60) == 1000


def test_of_three_the_outermost_two_count() -> None:
    at = {
        8: peak(grows=80, gradients=100),
        12: peak(grows=400, gradients=100),
        16: peak(grows=160, gradients=100),
    }
    assert largest_batch(at, 1000) == 60


@pytest.mark.parametrize(("limit", "examples"), [(1000, 31), (300, 0), (299, 0)])
def test_from_one_batch_size_the_answer_is_on_the_safe_side(limit: int, examples: int) -> None:
    one = {8: peak(grows=80, gradients=100)}  # 300 stay, 180 / 8 an example
    assert largest_batch(one, limit) == examples
    assert peak_bytes_at(one, 8) == one[8].total


def test_a_peak_that_does_not_grow_falls_back_to_one_batch_size() -> None:
    flat = {8: peak(grows=80, gradients=100), 16: peak(grows=80, gradients=100)}
    assert largest_batch(flat, 1000) == 62  # 700 / (180 / 16)
