"""Settings held against each other: which ones, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_analyse import control, frozen

from frostline.analyse import contrast_words, setting_contrasts, summarise
from frostline.store.trial_row import TrialRow


def group(rate: float, gain: float = 2.0, noise: float = 0.01, **setting: object) -> list[TrialRow]:
    """Three controls and two configurations, under a setting."""
    key = "-".join(map(str, setting.values()))
    rows = [
        control(1 + noise, noise, examples_per_second=rate + offset, **setting)
        for offset in (-1.0, 0.0, 5.0)
    ]
    rows += [
        replace(frozen(0.5, speedup, policy=policy, **setting), examples_per_second=rate * speedup)
        for policy, speedup in (("prefix:1", 1.2), ("prefix:2", gain))
    ]
    return [replace(row, trial_id=f"{key}-{number}") for number, row in enumerate(rows)]


def test_a_value_is_held_against_the_first_of_its_axis() -> None:
    rows = [*group(100.0, batch_size=16), *group(180.0, 2.4, batch_size=64)]
    (found,) = setting_contrasts(summarise(rows).groups)
    assert (found.title, found.axis) == ("batch size 64 against 16", "batch_size")
    assert (found.throughput, found.throughput_against) == (180.0, 100.0)
    assert found.ratio == pytest.approx(1.8)
    assert found.is_clear
    assert found.words == (
        "batch size 64 against 16 (chain, adam, float32, jit_compile auto): the baseline does 180 "
        "against 100 examples/s, 1.80x. Freezing prefix:2 gives 2.40x against 2.00x over the own "
        "baseline, 432 against 200 examples/s."
    )


def test_settings_that_differ_in_more_are_not_compared() -> None:
    rows = [
        *group(100.0, batch_size=8, precision="float32"),
        *group(110.0, batch_size=8, precision="mixed_float16"),
        *group(120.0, batch_size=16, precision="float32"),
        *group(130.0, batch_size=16, precision="mixed_float16"),
        *group(140.0, batch_size=32, precision="float32"),
    ]
    titles = [each.title for each in setting_contrasts(summarise(rows).groups)]
    assert titles == [
        "mixed_float16 against float32",
        "batch size 16 against 8",
        "batch size 16 against 8",
        "mixed_float16 against float32",
        "batch size 32 against 8",
    ]
    others = [*group(1.0, batch_size=8), *group(2.0, batch_size=16, model="other")]
    assert setting_contrasts(summarise(others).groups) == ()
    devices = [*group(1.0, batch_size=8), *group(2.0, batch_size=16, device_kind="H100")]
    assert setting_contrasts(summarise(devices).groups) == ()


def test_a_ratio_within_the_noise_of_both_is_none() -> None:
    rows = [*group(100.0, noise=0.03, batch_size=8), *group(105.0, noise=0.03, batch_size=16)]
    (found,) = setting_contrasts(summarise(rows).groups)
    assert found.is_clear is False
    assert "1.05x (within the noise of both)" in found.words


def test_several_devices_are_held_against_one() -> None:
    rows = [*group(300.0, strategy="mirrored"), *group(200.0, strategy="single")]
    (found,) = setting_contrasts(summarise(rows).groups)
    assert (found.title, found.ratio) == ("mirrored against a single device", 1.5)


def test_what_was_not_measured_is_not_said() -> None:
    rows = [*group(100.0, optimizer=None), *group(100.0, optimizer="sgd")[:3]]
    (found,) = setting_contrasts(summarise(rows).groups)
    assert found.title == "sgd against the model's own optimizer"
    assert (found.best, found.best_against) == (None, None)
    assert "Freezing" not in found.words
    rows = [replace(row, examples_per_second=None) for row in rows]
    (unknown,) = setting_contrasts(summarise(rows).groups)
    assert (unknown.ratio, unknown.is_clear) == (None, None)
    assert unknown.words.endswith(": no baseline was measured under both.")


def test_a_variant_s_settings_are_compared_by_the_plain_baseline() -> None:
    rows = [*group(100.0, batch_size=16), *group(180.0, batch_size=64)]
    rows += [
        replace(row, variant="low", trial_id=f"{row.trial_id}-low")
        for row in rows
        if not row.is_control
    ]
    plain, low = setting_contrasts(summarise(rows).groups)
    assert low.model == "chain@low"
    assert low.ratio == plain.ratio == pytest.approx(1.8)
    assert low.is_clear
    assert low.best is not None
    assert low.best.variant == "low"


def test_of_many_contrasts_the_first_are_said_and_the_rest_counted() -> None:
    rows = [row for size in (1, 2, 3, 4, 5) for row in group(100.0 * size, batch_size=size)]
    said = contrast_words(summarise(rows).groups, 3)
    assert len(said) == 4
    assert said[-1] == "1 more comparison of settings in the report."
    assert len(contrast_words(summarise(rows).groups, 4)) == 4
