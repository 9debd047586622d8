"""What explains a speedup: associations, places, backward FLOPs, costs of layers, errors."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from frostline import open_sweep
from frostline.analyse import associate
from frostline.analyse.backward_flops import LayerWork, flops_saved
from frostline.analyse.layer_costs import layer_costs
from frostline.analyse.placement import (
    PLACES,
    levels,
    place_of,
    place_ratios,
    similar,
)
from frostline.analyse.prediction_error import PredictedTrial, predictor_errors
from frostline.attribute.step_graph import PASSES
from frostline.costmodel.held_out import HeldOut
from frostline.store.trial_row import TrialRow

DATA = Path(__file__).parent / "data" / "sweep_v1"
ROWS = open_sweep(str(DATA)).trial_rows()
PREFIX = next(row for row in ROWS if row.policy == "prefix:2")
ORDER = ("a", "b", "c", "d", "e", "head")


def measured(frozen: str, fraction: float, speedup: float) -> TrialRow:
    """A trial that freezes the layers with these one-letter names."""
    return replace(
        PREFIX, trial_id=f"t-{frozen}-{fraction}", frozen_layers=tuple(frozen),
        frozen_variables=tuple(f"{name}/kernel" for name in frozen), frozen_fraction=fraction,
        speedup=speedup, speedup_low=speedup - 0.01, speedup_high=speedup + 0.01,
    )  # fmt: skip


# ---- Associations


def test_an_association_agrees_with_scipy_and_lies_in_its_interval() -> None:
    rng = np.random.default_rng(3)
    xs = rng.random(40)
    ys = 1 + xs + rng.normal(0, 0.3, 40)
    found = associate(zip(xs.tolist(), ys.tolist(), strict=True))
    assert found is not None
    assert found.rho == pytest.approx(stats.spearmanr(xs, ys).statistic)
    assert found.r_squared == pytest.approx(stats.linregress(xs, ys).rvalue ** 2)
    assert found.rho_low < found.rho < found.rho_high
    assert found.r_squared_low < found.r_squared < found.r_squared_high
    assert found.trials == 40


def test_intervals_are_repeatable_and_narrow_with_the_number_of_configurations() -> None:
    rng = np.random.default_rng(4)

    def width(count: int) -> float:
        xs = rng.random(count)
        found = associate(zip(xs, xs + rng.normal(0, 0.3, count), strict=True))
        assert found is not None
        return found.rho_high - found.rho_low

    assert width(12) > width(100) > width(2_000)
    pairs = [(x / 9, 1 + (x * 7 % 9)) for x in range(9)]
    assert associate(pairs) == associate(pairs)


def test_what_is_not_known_is_left_out_and_too_little_is_none() -> None:
    pairs = [(x / 5, 1 + x) for x in range(5)]
    found = associate([*pairs, (None, 9.0), (0.3, None)])
    assert found is not None
    assert (found.trials, found.rho) == (5, pytest.approx(1))
    assert associate(pairs[:4]) is None
    assert associate([(0.5, y) for _, y in pairs]) is None


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.5, 5)), min_size=5, max_size=12, unique=True)
)
@settings(max_examples=25, deadline=None)
def test_bounds_hold_for_any_configurations(pairs: list[tuple[float, float]]) -> None:
    found = associate(pairs)
    if found is not None and not np.isnan(found.rho):
        assert -1 <= found.rho_low <= found.rho_high <= 1
        assert 0 <= found.r_squared_low <= found.r_squared_high <= 1


# ---- Placement


@pytest.mark.parametrize(
    ("frozen", "place"),
    [
        ("a", "prefix"), ("abc", "prefix"), ("abcde", "prefix"), ("e", "suffix"), ("de", "suffix"),
        ("bcde", "suffix"), ("b", "scattered"), ("ace", "scattered"), ("bc", "scattered"),
        ("", None),
    ],
)  # fmt: skip
def test_places(frozen: str, place: str | None) -> None:
    assert place_of(frozen, ORDER) == place


def test_a_frozen_head_ends_a_suffix_too() -> None:
    assert place_of(["e", "head"], ORDER) == "suffix"
    assert place_of(["head"], ORDER) == "suffix"
    assert place_of(["a", "head"], ORDER) == "scattered"


@given(st.sets(st.integers(0, 5)))
def test_a_place_follows_from_the_gaps(frozen: set[int]) -> None:
    place = place_of([ORDER[i] for i in frozen], ORDER)
    run = bool(frozen) and max(frozen) - min(frozen) + 1 == len(frozen)
    if not frozen:
        assert place is None
    elif run and 0 in frozen:
        assert place == "prefix"
    elif run and max(frozen) >= 4:
        assert place == "suffix"
    else:
        assert place == "scattered"


def where(row: TrialRow):
    return place_of(row.frozen_layers, ORDER)


def test_similar_fractions_in_different_places_are_matched_once() -> None:
    rows = [
        measured("a", 0.20, 1.9), measured("e", 0.21, 1.1), measured("c", 0.19, 1.2),
        measured("ab", 0.60, 2.9), measured("de", 0.58, 1.2), measured("bd", 0.70, 1.4),
        measured("abcd", 0.95, 3.0),
    ]  # fmt: skip
    found = levels(rows, where)
    assert [sorted(level.trials) for level in found] == [
        ["prefix", "scattered", "suffix"], ["prefix", "suffix"],
    ]  # fmt: skip
    assert [level.fraction for level in found] == [pytest.approx(0.2), pytest.approx(0.59)]
    ratios = {(each.better, each.other): each for each in place_ratios(found)}
    assert ratios["prefix", "suffix"].matches == 2
    assert ratios["prefix", "suffix"].ratio == pytest.approx((1.9 / 1.1 + 2.9 / 1.2) / 2)
    assert not ratios["prefix", "suffix"].is_interval
    assert (ratios["prefix", "suffix"].low, ratios["prefix", "suffix"].high) == (
        pytest.approx(1.9 / 1.1), pytest.approx(2.9 / 1.2),
    )  # fmt: skip


def test_five_matches_have_an_interval_and_the_better_place_comes_first() -> None:
    rows = [
        measured(frozen, number / 10, speedup)
        for number in range(1, 8)
        for frozen, speedup in (("a", 1.1 + number / 100), ("e", 1.5 + number / 50))
    ]
    (found,) = place_ratios(levels(rows, where))
    assert (found.better, found.other, found.matches) == ("suffix", "prefix", 7)
    assert found.is_interval
    assert 1 < found.low <= found.ratio <= found.high


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "ab", "e", "de", "c", "bd"]),
            st.floats(0.01, 0.99),
            st.floats(1, 4),
        ),
        max_size=30,
        unique_by=lambda entry: entry[1],
    )
)
@settings(max_examples=50, deadline=None)
def test_matches_are_similar_apart_and_used_once(entries) -> None:
    rows = [measured(*entry) for entry in entries]
    used: list[str] = []
    for level in levels(rows, where):
        assert len(level.trials) > 1
        for place, row in level.trials.items():
            assert where(row) == place
            used.append(row.trial_id)
        first = level.trials[next(place for place in PLACES if place in level.trials)]
        for row in level.trials.values():
            assert similar(first.frozen_fraction or 0, row.frozen_fraction or 0)
    assert len(used) == len(set(used))


# ---- Backward FLOPs


CHAIN = [
    LayerWork(layer="a", forward_flops=10, variables={"a/k": 9, "a/b": 1}, upstream=()),
    LayerWork(layer="b", forward_flops=20, variables={"b/k": 10}, upstream=("a",)),
    LayerWork(layer="c", forward_flops=30, variables={"c/k": 10}, upstream=("a", "b")),
]  # backward: dW 10 + 20 + 30, dX 20 + 30


@pytest.mark.parametrize(
    ("frozen", "left"),
    [
        ([], 110),
        (["a/k", "a/b"], 50 + 30),  # no dX in b any more
        (["b/k"], 40 + 50),
        (["c/k"], 30 + 50),  # the gradient still flows through c
        (["a/k", "a/b", "b/k"], 30),
        (["a/b"], 9 + 50 + 50),  # a bias
        (["a/k", "a/b", "b/k", "c/k"], 0),
    ],
)
def test_backward_flops_are_saved_where_nothing_trains_before(frozen, left) -> None:
    assert flops_saved(CHAIN, frozen) == pytest.approx(1 - left / 110)


def test_layers_without_a_count_say_nothing() -> None:
    assert flops_saved([replace(layer, forward_flops=None) for layer in CHAIN], ["a/k"]) is None
    assert flops_saved([], []) is None


# ---- Costs of layers


def test_layers_and_the_rest_add_up_to_the_passes_of_the_baseline() -> None:
    controls = [row for row in ROWS if row.is_control]
    sweep = open_sweep(str(DATA))
    rows = sweep.table("layers", trials=[row.trial_id for row in controls]).to_pylist()
    costs = layer_costs(controls, rows)
    assert [cost.layer for cost in costs] == ["conv1", "conv2", "dense", "head", ""]
    for each in ("forward", "activation_gradient", "weight_gradient", "optimizer"):
        whole = {(row.passes_ns or {})[each] for row in controls}
        assert {round(sum(cost.ns[each] or 0 for cost in costs))} == whole
    dense = costs[2]
    assert (dense.kind, dense.params, dense.forward_flops) == ("Dense", 65_664, 2 * 65_664)
    total = sum((controls[0].passes_ns or {}).values())
    assert dense.shares["optimizer"] == pytest.approx(400_000 / total)
    assert dense.share == pytest.approx(2_800_000 / total)


def test_without_a_profile_layers_are_there_without_costs() -> None:
    control = replace(ROWS[-1], is_control=True, **dict.fromkeys(f"{name}_ns" for name in PASSES))
    layer = {
        "trial_id": control.trial_id, "layer": "a", "index": 0, "kind": "Dense", "params": 3,
        "forward_flops": None, "forward_ns": None, "activation_gradient_ns": None,
        "weight_gradient_ns": None, "optimizer_ns": None,
    }  # fmt: skip
    (cost,) = layer_costs([control], [layer])
    assert set(cost.shares.values()) == {None}
    assert layer_costs([control], []) == ()


def test_of_a_layer_without_weights_only_the_passes_that_were_seen_have_a_cost() -> None:
    controls = [row for row in ROWS if row.is_control]
    first = controls[0]
    unseen = [replace(row, activation_gradient_ns=None) for row in controls]
    layers = open_sweep(str(DATA)).table("layers", trials=[first.trial_id]).to_pylist()
    relu = {"trial_id": first.trial_id, "layer": "relu", "pass": "forward", "ns": 1000}
    costs = layer_costs(unseen, [{**row, "activation_gradient_ns": None} for row in layers], [relu])
    (found,) = (cost for cost in costs if cost.layer == "relu")
    others = ("activation_gradient", "weight_gradient", "optimizer")
    assert [found.ns[each] for each in others] == [found.shares[each] for each in others]
    assert {found.ns[each] for each in others} == {None}
    assert found.ns["forward"] == 1000
    assert found.shares["forward"] == pytest.approx(1000 / sum(unseen[0].passes_ns.values()))
    outside = costs[-1]
    assert outside.layer == ""
    assert outside.ns["activation_gradient"] is outside.shares["activation_gradient"] is None
    assert outside.ns["forward"] is not None


# ---- Held-out errors


def test_errors_leave_anchors_out_and_the_best_predictor_comes_first() -> None:
    def one(predictor: str, predicted: float, *, anchor: bool = False) -> PredictedTrial:
        speedup = HeldOut(measured=2.0, low=1.9, high=2.1, predicted=predicted)
        return PredictedTrial(trial_id="t", predictor=predictor, is_anchor=anchor, speedup=speedup)

    found = predictor_errors([
        one("frozen_fraction", 9.0), one("three_anchor", 2.2), one("three_anchor", 1.9),
        one("three_anchor", 99.0, anchor=True), one("two_point", 3.0, anchor=True),
    ])  # fmt: skip
    assert [each.predictor for each in found] == ["three_anchor", "frozen_fraction"]
    assert found[0].error.count == 2
    assert found[0].error.mean_abs == pytest.approx(0.075)
    assert found[0].error.max_abs == pytest.approx(0.1)
    assert predictor_errors([]) == ()
