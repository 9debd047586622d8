"""The forward pass alone: what is left of a step without anything behind it."""

from pathlib import Path

import pytest
from built_trials import GPU, MS, Built, Chain, row_of

from frostline.analyse.forward_alone import forward_alone
from frostline.explanation import explain

PASSES = {
    "forward_ns": 4 * MS, "activation_gradient_ns": 5 * MS, "weight_gradient_ns": 2 * MS,
    "optimizer_ns": MS, "input_ns": 7 * MS, "other_ns": 9 * MS, "busy_ns": 28 * MS,
    "step_ns": 28 * MS, "profiler_overhead": 1.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 1 + (5 + 2 + 1) / 4),
        ({"activation_gradient_ns": 0}, 1 + (2 + 1) / 4),
        ({"weight_gradient_ns": 0}, 1 + (5 + 1) / 4),
        ({"optimizer_ns": 0}, 1 + (5 + 2) / 4),
        ({"input_ns": 0, "other_ns": 0}, 1 + (5 + 2 + 1) / 4),
        ({"forward_ns": 0}, None),
        ({"forward_ns": None}, None),
    ],
)
def test_it_is_one_and_gradients_and_update_by_forward(changes: dict, expected: float | None):
    assert forward_alone([row_of(**PASSES | changes)]) == pytest.approx(expected)


def test_a_slow_profile_counts_no_more_than_a_quick_one():
    slow = {name: 3 * ns for name, ns in PASSES.items() if name.endswith("_ns")}
    slow |= {
        "step_ns": 28 * MS,
        "profiler_overhead": 3.0,
        "optimizer_ns": 6 * MS,
        "other_ns": 24 * MS,
    }
    quick = row_of(**PASSES)
    expected = 1 + (2 * 5 + 2 * 2 + 1 + 2) / (2 * 4)
    assert forward_alone([quick, row_of(**slow)]) == pytest.approx(expected)
    assert forward_alone([quick, row_of(forward_ns=None)]) == pytest.approx(3.0)
    assert forward_alone([]) is None


def test_copies_of_the_baseline_count_with_the_time_in_which_they_are_busy():
    idle = {"busy_ns": 14 * MS, "optimizer_ns": 3 * MS, "other_ns": 7 * MS}
    rows = [row_of(**PASSES), row_of(**PASSES | idle)]
    expected = 1 + (5 + 2 + 1 + (5 + 2 + 3) / 2) / (4 + 4 / 2)
    assert forward_alone(rows) == pytest.approx(expected)


def test_explain_says_what_it_is_made_of_though_controls_differ(tmp_path: Path):
    built = Built(folder=tmp_path / "out", chain=Chain(device=GPU), waiting_ns=20 * MS)
    built.controls(speedups=())
    for replicate, update in enumerate((MS // 4, MS, 5 * MS)):
        built.trial(
            "none", (), speedup=1.0, is_control=True, replicate=replicate,
            ops=Chain(device=GPU, update=update).ops(), waiting_ns=replicate * 30 * MS,
        )  # fmt: skip
    built.trial("prefix:2", [0, 1])
    sweep = built.sweep()
    found = explain(sweep, "prefix:2").forward_alone
    assert found is not None
    shown = 1 + (found.gradients_ns + found.update_ns) / found.forward_ns
    assert found.speedup == pytest.approx(shown, rel=1e-6)
