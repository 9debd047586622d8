"""What the rows of a sweep say: noise floor, verdicts, the answer, where the time went."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline import open_sweep
from frostline.analyse import (
    answer,
    group_answer,
    noise_floor,
    noise_floors,
    summarise,
    time_split,
    verdict,
)
from frostline.attribute.step_graph import PASSES
from frostline.store.trial_row import TrialRow
from frostline.words import duration_ns, percent, placement

DATA = Path(__file__).parent / "data" / "sweep_v1"
ROWS = open_sweep(str(DATA)).trial_rows()
CONTROL = next(row for row in ROWS if row.is_control)
PREFIX = next(row for row in ROWS if row.policy == "prefix:2")


def control(speedup: float | None, half_width: float = 0.01, **changes: object) -> TrialRow:
    return measured(CONTROL, speedup, half_width, **changes)


def frozen(fraction: float, speedup: float, *, policy: str, position: int = 1, **changes: object):
    return measured(
        PREFIX, speedup, 0.02, policy=policy, frozen_fraction=fraction, trial_id=policy,
        frozen_variables=(f"{policy}/kernel",), earliest_trainable_layer=position, **changes,
    )  # fmt: skip


def measured(row: TrialRow, speedup: float | None, half_width: float, **changes: object):
    known = speedup is not None
    return replace(
        row, speedup=speedup, speedup_low=speedup - half_width if known else None,
        speedup_high=speedup + half_width if known else None, **changes,
    )  # fmt: skip


# ---- Noise floor and verdicts


def test_the_noise_floor_is_the_largest_deviation_or_half_width_of_any_control() -> None:
    assert noise_floor([control(1.0, 0.01), control(0.95, 0.01)]) == pytest.approx(0.05)
    assert noise_floor([control(1.0, 0.08), control(0.95, 0.01)]) == pytest.approx(0.08)


def test_only_measured_controls_count() -> None:
    assert noise_floor([control(None), PREFIX]) is None
    assert noise_floor([control(1.02), measured(PREFIX, 3.0, 0.5)]) == pytest.approx(0.02)


def test_each_model_and_setting_has_its_own_floor() -> None:
    rows = [
        control(1.02), control(1.1, model="other"), control(1.3, batch_size=64),
        control(1.2, optimizer=None),
    ]  # fmt: skip
    rows = [replace(row, trial_id=f"t{number}") for number, row in enumerate(rows)]
    by_trial = noise_floors(rows)
    floors = {(row.model, row.batch_size, row.optimizer): by_trial[row.trial_id] for row in rows}
    assert floors == {
        ("chain", 8, "adam"): pytest.approx(0.02), ("other", 8, "adam"): pytest.approx(0.1),
        ("chain", 64, "adam"): pytest.approx(0.3), ("chain", 8, None): pytest.approx(0.2),
    }  # fmt: skip


def test_each_kind_of_device_has_its_own_floor() -> None:
    rows = [control(1.02, device_kind="A"), control(1.3, device_kind="B"), measured(PREFIX, 2, 0.1)]
    rows = [replace(row, trial_id=f"t{number}") for number, row in enumerate(rows)]
    rows[2] = replace(rows[2], device_kind="A")
    assert noise_floors(rows) == {
        "t0": pytest.approx(0.02), "t1": pytest.approx(0.3), "t2": pytest.approx(0.02),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("speedup", "half_width", "floor", "expected"),
    [
        (1.5, 0.1, 0.05, "faster"),
        (0.7, 0.1, 0.05, "slower"),
        (1.04, 0.01, 0.05, "no measurable difference"),  # within the floor
        (1.2, 0.3, 0.05, "no measurable difference"),  # its interval contains 1
        (1.04, 0.01, None, "faster"),  # no control: the interval decides
        (None, 0.0, 0.05, None),
    ],
)
def test_verdicts(speedup, half_width, floor, expected) -> None:
    assert verdict(measured(PREFIX, speedup, half_width), floor) == expected


@given(st.lists(st.tuples(st.floats(0.2, 5), st.floats(0, 0.5)), min_size=1, max_size=6))
def test_no_control_ever_differs_measurably(controls: list[tuple[float, float]]) -> None:
    rows = [control(speedup, half) for speedup, half in controls]
    assert {verdict(row, noise_floor(rows)) for row in rows} == {"no measurable difference"}


# ---- The summary


def test_trials_are_sorted_by_frozen_fraction_with_failed_ones_last() -> None:
    (group,) = summarise(reversed(ROWS)).groups
    assert [item.row.policy for item in group.trials] == [
        "none", "none", "none", "prefix:1", "layer:2", "prefix:2", "suffix:1", "suffix:2",
        "all_but_head", "norms",
    ]  # fmt: skip
    assert [item.row.replicate for item in group.trials[:3]] == [0, 1, 2]
    assert [row.policy for row in group.failed] == ["norms"]


def test_the_summary_of_the_recorded_sweep() -> None:
    summary = summarise(ROWS)
    (group,) = summary.groups
    assert (summary.ok, summary.failed, group.controls) == (9, 1, 3)
    assert group.noise_floor == pytest.approx(0.0139, abs=1e-4)
    assert group.best is not None
    assert group.best.policy == "all_but_head"
    assert group.contrast is not None
    assert (group.contrast.faster.policy, group.contrast.slower.policy) == (
        "all_but_head",
        "suffix:2",
    )
    assert answer(summary) == (
        "chain, batch size 8, adam, float32, jit_compile auto: the baseline's step takes 11.2 ms; "
        "of 6 configurations, 6 are measurably faster, 0 slower, and 0 show no measurable "
        "difference (noise floor 1.4%, from 3 controls). Fastest is all_but_head with 2.88x "
        "[2.84, 2.93] (3.90 ms a step), which freezes 98% of the parameters. The frozen fraction "
        "does not explain the speedup: rank correlation +0.49 [-0.80, +1.00], and a straight line "
        "explains 7% [0, 99] of the variance over 6 configurations. The position of the first "
        "layer that still trains does better (+0.82 [+0.00, +1.00], 90% [9, 100]). Where one "
        "freezes matters: 98% of the parameters frozen as all but the head (all_but_head) gave "
        "2.88x [2.84, 2.93], 98% frozen as a suffix (suffix:2) 1.41x [1.40, 1.43]. 1 trial failed; "
        "the first, norms, in stage check with FreezeCheck."
    )


def test_nothing_committed_is_said() -> None:
    assert answer(summarise([])) == "No trial is committed yet."


def test_only_controls_is_said() -> None:
    said = answer(summarise([control(1.01), control(0.98)]))
    assert "only the baseline and its controls were measured" in said
    assert "up to 2.0%" in said


def test_all_failed_is_said_with_the_first_reason() -> None:
    failed = next(row for row in ROWS if row.status == "failed")
    said = answer(summarise([failed, replace(failed, trial_id="z")]))
    assert (
        "no configuration was measured. 2 trials failed; the first, norms, in stage check" in said
    )


def test_a_missing_control_is_said() -> None:
    (group,) = summarise([PREFIX]).groups
    assert group.noise_floor is None
    assert "no control was measured, so the noise floor is not known" in group_answer(group)
    assert "too few different configurations" in group_answer(group)


def test_a_fraction_that_explains_is_said_to() -> None:
    rows = [frozen(f / 10, 1 + f / 10, policy=f"prefix:{f}", position=f) for f in range(1, 8)]
    (group,) = summarise([control(1.0), *rows]).groups
    assert group.by_fraction is not None
    assert group.by_fraction.rho == pytest.approx(1)
    assert group.by_fraction.trials == 7
    assert "The frozen fraction orders the speedups well: rank correlation +1.00" in group_answer(
        group
    )


@pytest.mark.parametrize(
    ("speedups", "words"),
    [
        ((1.1, 1.4, 1.3, 1.2, 1.5), "explains the speedup in part only: rank correlation +0.60"),
        ((1.3, 1.5, 1.1, 1.2, 1.4), "does not explain the speedup: rank correlation -0.10"),
        ((1.5, 1.4, 1.3, 1.2, 1.1), "went with less speedup here: rank correlation -1.00"),
    ],
)
def test_a_fraction_that_does_not_explain_is_said_not_to(speedups, words) -> None:
    rows = [frozen(n / 9, speedup, policy=f"layer:{n}") for n, speedup in enumerate(speedups)]
    assert words in answer(summarise([control(1.0), *rows]))


def test_correlation_needs_enough_distinct_configurations() -> None:
    four = [frozen(f / 10, 1 + f / 10, policy=f"prefix:{f}") for f in range(1, 5)]
    (group,) = summarise([control(1.0), *four]).groups
    assert group.by_fraction is None
    same = [frozen(0.5, 1 + f / 10, policy=f"layer:{f}", position=f) for f in range(1, 8)]
    (group,) = summarise([control(1.0), *same]).groups
    assert group.by_fraction is None
    assert group.by_position is not None
    repeated = [frozen(0.1 * (n % 2), 1.5, policy="prefix:1") for n in range(9)]
    (group,) = summarise([control(1.0), *repeated]).groups
    assert group.by_fraction is None


def test_a_contrast_is_between_similar_fractions_and_separate_intervals() -> None:
    prefix = frozen(0.45, 1.9, policy="prefix:8", position=8)
    suffix = frozen(0.47, 1.2, policy="suffix:3", position=0)
    (group,) = summarise([control(1.0), prefix, suffix]).groups
    assert (
        "45% of the parameters frozen as a prefix (prefix:8) gave 1.90x [1.88, 1.92], "
        "47% frozen as a suffix (suffix:3) 1.20x [1.18, 1.22]" in group_answer(group)
    )
    for other in (
        replace(suffix, frozen_fraction=0.6),  # freezes more
        replace(suffix, speedup=1.88, speedup_low=1.85, speedup_high=1.89),  # intervals overlap
        replace(suffix, policy="prefix:9", frozen_variables=("prefix:8/kernel", "x")),  # nested
    ):
        (group,) = summarise([control(1.0), prefix, other]).groups
        assert group.contrast is None
    tiny = frozen(0.01, 1.9, policy="norms"), frozen(0.04, 1.2, policy="biases")
    (group,) = summarise([control(1.0), *tiny]).groups
    assert group.contrast is None


NOISE = [frozen(f / 10, 1.001, policy=f"prefix:{f}", position=f) for f in range(1, 8)]


def test_a_host_bound_step_is_named_as_the_reason() -> None:
    base = control(1.0, step_ns=10_000_000, baseline_step_ns=10_000_000, busy_ns=2_000_000,
                   profiler_overhead=1.0)  # fmt: skip
    rows = [replace(row, step_ns=10_000_000, baseline_step_ns=10_000_000) for row in NOISE]
    (group,) = summarise([base, *rows]).groups
    assert group.busy_fraction == pytest.approx(0.2)
    assert group.best is None
    said = group_answer(group)
    assert "host-bound: of its 10.0 ms, the device works during 2.00 ms (20%)" in said
    assert "rank correlation" not in group_answer(group)


def test_without_busy_time_the_pass_sum_bounds_it_from_above() -> None:
    small = {
        f"{name}_ns": 100_000
        for name in ("forward", "activation_gradient", "weight_gradient", "optimizer", "input",
                     "other")
    }  # fmt: skip
    base = control(1.0, busy_ns=None, step_ns=10_000_000, profiler_overhead=None, **small)
    (group,) = summarise([base, *NOISE]).groups
    assert group.busy_fraction == pytest.approx(0.06)
    (group,) = summarise([replace(base, step_ns=500_000), *NOISE]).groups
    assert group.busy_fraction is None  # more op time than step time: ops overlap


NO_TRACE = dict.fromkeys(f"{name}_ns" for name in PASSES)


def test_an_eager_step_is_answered_with_what_to_change() -> None:
    eager = NO_TRACE | {
        "error_type": "RunsEagerly",
        "error_message": "the step runs eagerly. Compile it: leave run_eagerly=True out",
    }
    rows = [control(1.0, **eager), frozen(0.5, 1.5, policy="prefix:1", **eager)]
    said = answer(summarise(rows))
    assert "Fastest is prefix:1" in said
    assert "The step runs eagerly. Compile it: leave run_eagerly=True out; a compiled step" in said
    assert "without a trace" not in said


def test_little_to_save_a_noisy_machine_and_no_trace_are_reasons_too() -> None:
    busy = {"step_ns": 10_000_000, "busy_ns": 9_900_000, "profiler_overhead": 1.0}
    passes = {
        "forward_ns": 9_000_000, "activation_gradient_ns": 50_000, "weight_gradient_ns": 40_000,
        "optimizer_ns": 0, "input_ns": 0, "other_ns": 0,
    }  # fmt: skip
    little = answer(summarise([control(1.0, 0.02, **busy, **passes), *NOISE]))
    assert "little to save: gradients and update are 0.99%" in little
    noisy = answer(summarise([control(1.2, **busy), *NOISE]))
    assert "the noise is large: copies of the baseline differ by up to 20%" in noisy
    unknown = answer(summarise([control(1.0, busy_ns=None, step_ns=None, **NO_TRACE), *NOISE]))
    assert "without a trace the reason is not known" in unknown


def test_devices_of_different_kinds_are_groups_of_their_own() -> None:
    failed = next(row for row in ROWS if row.status == "failed")
    elsewhere = replace(PREFIX, trial_id="x", device_kind="another CPU")
    groups = summarise([control(1.02), PREFIX, elsewhere, replace(failed, device_kind=None)]).groups
    assert [group.device_kind for group in groups] == ["another CPU", "fixture CPU"]
    assert [group.title for group in groups] == [
        f"chain, batch size 8, adam, float32, jit_compile auto, on {kind} CPU"
        for kind in ("another", "fixture")
    ]
    assert [len(group.trials) for group in groups] == [2, 2]  # a failed one has no device yet
    assert groups[0].noise_floor is None  # a control on another device says nothing of this one
    assert groups[1].noise_floor == pytest.approx(0.02)


def test_several_models_have_an_answer_together() -> None:
    rising = [frozen(f / 10, 1 + f / 10, policy=f"prefix:{f}", position=9 - f) for f in range(1, 8)]
    other = [
        replace(row, model="other", trial_id=f"other-{row.trial_id}", frozen_fraction=0.9 - n / 9)
        for n, row in enumerate(rising)
    ]
    noise = [control(1.0), control(1.0, model="other")]
    said = answer(summarise([*noise, *rising, *other]))
    assert "2 models and settings: 14 of 14 configurations are measurably faster" in said
    assert "Fastest is prefix:7 of chain" in said
    assert "runs from -1.00 (other, batch size 8, adam, float32, jit_compile auto) to +1.00" in said
    assert "In 0 of 2 the position of the first layer" in said
    assert answer(summarise([control(1.0), *rising])).startswith("chain, batch size 8")


# ---- Where the time went


def test_phases_and_rest_add_up_to_the_wall_time_of_all_slots() -> None:
    split = time_split(ROWS, wall_s=300.0)
    assert (split.slots, split.stepping_s, split.build_s, split.compile_s) == (1, 135, 9, 45)
    phases = split.stepping_s + split.build_s + split.compile_s + split.check_s + split.profile_s
    assert split.overhead_s == pytest.approx(300 - phases)
    assert split.overhead_fraction == pytest.approx((300 - phases) / 300)
    assert split.rest_s == pytest.approx(300 - phases - split.convert_s)


def test_devices_that_measure_side_by_side_have_a_wall_time_each() -> None:
    elsewhere = [replace(row, device_id=row.device_id and "2-3") for row in ROWS]
    split = time_split([*ROWS, *elsewhere], wall_s=300.0)
    assert split.slots == 2
    assert split.rest_s == pytest.approx(2 * (time_split(ROWS, wall_s=300.0).rest_s or 0))
    assert time_split(ROWS, wall_s=300.0, slots=3).slots == 3


def test_a_split_that_cannot_be_is_not_guessed() -> None:
    split = time_split(ROWS, wall_s=10.0)
    assert (split.rest_s, split.overhead_s, split.overhead_fraction) == (None, None, None)
    with pytest.raises(ValueError, match="not negative"):
        time_split(ROWS, wall_s=-1.0)
    with pytest.raises(ValueError, match="at least one slot"):
        time_split(ROWS, wall_s=1.0, slots=0)


def test_failed_trials_leave_their_time_in_the_rest() -> None:
    failed = next(row for row in ROWS if row.status == "failed")
    assert time_split([failed], wall_s=5.0).overhead_s == 5.0


# ---- Figures in words


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (12, "12.0 ns"),
        (4_560, "4.56 µs"),
        (123_400_000, "123 ms"),
        (999_900_000, "1.00 s"),
        (6e10, "60.0 s"),
    ],
)
def test_durations(ns: float, text: str) -> None:
    assert duration_ns(ns) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0%"), (0.00123, "0.12%"), (0.045, "4.5%"), (0.45, "45%"), (0.999, "99.9%"),
        (0.9999, "99.99%"), (0.99999999, "99.99%"), (1, "100%"), (1.2, "120%"),
    ],
)  # fmt: skip
def test_shares(share: float, text: str) -> None:
    assert percent(share) == text


def test_policies_in_words() -> None:
    assert placement("prefix:8") == "as a prefix (prefix:8)"
    assert placement("regex:block1_.*") == "by regex:block1_.*"


def test_noise_comes_first_then_what_bounds_the_step_then_the_rest() -> None:
    busy = {"step_ns": 10_000_000, "busy_ns": 2_000_000, "profiler_overhead": 1.0}
    noisy = answer(summarise([control(2.36, 0.02, **busy), *NOISE]))
    assert "too noisy to read, because copies of the baseline" in noisy
    assert "up to 136%" in noisy
    assert "host-bound" not in noisy
    bound = answer(summarise([control(1.1, 0.02, **busy), *NOISE]))
    assert "host-bound" in bound
    assert "the noise is large" not in bound
    reading = {
        "busy_ns": 9_900_000, "forward_ns": 4_000_000, "input_ns": 5_000_000, "other_ns": 0,
        "activation_gradient_ns": 500_000, "weight_gradient_ns": 400_000, "optimizer_ns": 0,
    }  # fmt: skip
    fed = answer(summarise([control(1.1, 0.02, **(busy | reading)), *NOISE]))
    assert "input-bound: reading and copying batches is 50% of it" in fed


def test_of_several_settings_the_noisy_ones_are_counted_as_such_and_not_among_the_others() -> None:
    def group(batch_size: int, off: float) -> list[TrialRow]:
        rows = [control(1 + off, 0.0), measured(PREFIX, 2.0, 0.01)]
        return [
            replace(row, batch_size=batch_size, trial_id=f"{batch_size}-{number}")
            for number, row in enumerate(rows)
        ]

    said = answer(summarise([*group(8, 0.01), *group(16, 0.02), *group(32, 0.5)]))
    assert said.startswith(
        "3 models and settings: 2 of 2 configurations are measurably faster than their baseline. "
        "1 model and setting is too noisy to read, and not counted here. Fastest is "
    )
    nothing = answer(summarise([*group(8, 0.4), *group(16, 0.5)]))
    assert nothing.startswith("2 models and settings, all of them too noisy to read. Run the study")


def test_no_advice_to_compile_what_is_compiled() -> None:
    busy = {"step_ns": 10_000_000, "busy_ns": 2_000_000, "profiler_overhead": 1.0}
    for compiled in (True, False):
        found = answer(summarise([control(1.0, 0.02, jit_resolved=compiled, **busy), *NOISE]))
        assert "host-bound" in found
        assert ("jit_compile = true" in found) != compiled
