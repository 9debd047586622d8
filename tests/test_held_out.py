"""Errors of predictions on configurations that were held out."""

import pytest

from frostline.costmodel.held_out import HeldOut, held_out_error
from frostline.memory.held_out import peak_errors


def config(measured: float, predicted: float, half: float = 0.05) -> HeldOut:
    return HeldOut(
        measured=measured, low=measured - half, high=measured + half, predicted=predicted
    )


def test_nothing_held_out_has_no_error() -> None:
    assert held_out_error([]) is None


def test_errors_are_relative_and_signed() -> None:
    got = held_out_error([config(2.0, 2.2), config(1.0, 0.95)])
    assert got is not None
    assert got.count == 2
    assert got.mean_abs == pytest.approx(0.075)
    assert got.max_abs == pytest.approx(0.1)
    assert got.bias == pytest.approx(0.025)


def test_only_clearly_different_pairs_are_ordered() -> None:
    got = held_out_error([config(1.0, 1.2), config(1.05, 1.1), config(2.0, 1.15)])
    assert got is not None
    assert (got.pairs, got.ordered) == (2, 1)
    assert got.ordered_share == 0.5


def test_what_is_predicted_to_be_equal_has_no_order_whichever_comes_first() -> None:
    apart = [config(1.0, 1.5), config(2.0, 1.5)]
    for configurations in (apart, apart[::-1]):
        got = held_out_error(configurations)
        assert got is not None
        assert (got.pairs, got.ordered) == (1, 0)
    for peaks in ([(150, 100), (150, 200)], [(150, 200), (150, 100)]):
        errors = peak_errors(peaks)
        assert errors is not None
        assert (errors.pairs, errors.ordered_share) == (1, 0.0)
    right = peak_errors([(90, 100), (210, 200)])
    assert right is not None
    assert right.ordered_share == 1.0


def test_no_clear_pair_has_no_share() -> None:
    got = held_out_error([config(1.0, 1.0), config(1.01, 2.0)])
    assert got is not None
    assert got.ordered_share is None
