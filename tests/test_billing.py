"""Hours, energy and money of a training run: the arithmetic, the digits, what is refused."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from test_analyse import CONTROL, PREFIX

from frostline.billing import Amount, Bill, Run, bill_document, bill_of, trial_bills
from frostline.billing.bill import steps_per_epoch
from frostline.billing.run import MOST_EPOCHS, MOST_EXAMPLES, MOST_PRICE, MOST_WATTS, settled
from frostline.billing.trials import energy_spread, examples_per_step, measured_step
from frostline.billing.words import (
    MOST_DIGITS,
    WITHOUT_INTERVAL,
    amount_words,
    bill_cells,
    bill_columns,
    energy_words,
    last_place,
    run_words,
)
from frostline.errors import UsageError

POSITIVE = st.floats(1e-9, 1e12, allow_nan=False)
WHOLE = st.integers(1, MOST_EXAMPLES)


@st.composite
def amounts(draw: st.DrawFn) -> Amount:
    """A quantity, with an interval around it or without."""
    value = draw(POSITIVE)
    if draw(st.booleans()):
        return Amount(value=value)
    below, above = (draw(st.floats(0, 0.9)), draw(st.floats(0, 5)))
    return Amount(value=value, low=value * (1 - below), high=value * (1 + above))


# ---- Steps, hours, energy, money


@given(WHOLE, st.integers(1, 10**6))
def test_an_epoch_has_the_fewest_steps_that_hold_all_examples(examples: int, batch: int) -> None:
    steps = steps_per_epoch(examples, float(batch))
    assert (steps - 1) * batch < examples <= steps * batch


@given(WHOLE, st.integers(1, 10**6), st.floats(-1e-9, 1e-9))
def test_a_batch_size_that_was_computed_from_times_is_the_whole_number_that_it_is(
    examples: int, batch: int, noise: float
) -> None:
    assert steps_per_epoch(examples, batch * (1 + noise)) == -(-examples // batch)


def test_batches_that_differ_count_with_their_mean() -> None:
    assert steps_per_epoch(100, 25.0) == 4
    assert steps_per_epoch(100, 33.4) == 3
    assert steps_per_epoch(100, 33.2) == 4
    assert steps_per_epoch(1, 0.25) == 4


@given(WHOLE, st.integers(1, MOST_EPOCHS), st.integers(1, 10**6), amounts(), amounts())
def test_hours_are_steps_times_step_time_and_money_is_hours_times_price(
    examples: int, epochs: int, batch: int, step_ns: Amount, joules: Amount
) -> None:
    run = Run(examples=examples, epochs=epochs, price_per_hour=2.5)
    bill = bill_of(
        run,
        examples_per_step=batch,
        step_ns=step_ns,
        joules_per_step=joules,
        joules_from="measured",
    )
    assert bill.steps == epochs * -(-examples // batch)
    assert bill.cost is not None
    assert bill.kwh is not None
    for end in ("value", "low", "high"):
        hours, cost, kwh = (getattr(each, end) for each in (bill.hours, bill.cost, bill.kwh))
        if getattr(step_ns, end) is None:
            assert hours is cost is None
        else:
            assert hours == pytest.approx(bill.steps * getattr(step_ns, end) / 3.6e12)
            assert cost == pytest.approx(2.5 * hours)
        if getattr(joules, end) is not None:
            assert kwh == pytest.approx(bill.steps * getattr(joules, end) / 3.6e6)
    assert bill.kwh_from == "measured"


def test_the_watts_of_the_user_go_before_what_was_measured() -> None:
    def bill(run: Run, joules: Amount | None) -> Bill:
        return bill_of(
            run,
            examples_per_step=10,
            step_ns=Amount(value=3.6e9, low=3e9, high=4e9),
            joules_per_step=joules,
            joules_from="measured",
        )

    run = Run(examples=100, epochs=100)
    assert bill(run, None).kwh is None
    assert bill(run, None).kwh_from is None
    assert bill(run, None).cost is None
    assert bill(run, Amount(value=7200.0)).kwh == Amount(value=2.0)
    user = bill(replace(run, watts=500.0), Amount(value=7200.0))
    assert user.hours.value == pytest.approx(1.0)
    assert user.kwh is not None
    assert user.kwh.value == pytest.approx(0.5)
    assert user.kwh.high == pytest.approx(0.5 * 4 / 3.6)
    assert user.kwh_from == "watts"


def test_a_bill_in_json_has_the_same_keys_with_and_without_a_run() -> None:
    bill = bill_of(
        Run(examples=5, epochs=2),
        examples_per_step=2,
        step_ns=Amount(value=1e9),
        joules_per_step=None,
        joules_from="predicted",
    )
    nothing = bill_document(None)
    assert bill_document(bill).keys() == nothing.keys()
    assert set(nothing.values()) == {None}
    assert bill_document(bill)["run_steps"] == 6


# ---- Measured trials


def test_a_trial_s_hours_have_the_interval_of_its_speedup() -> None:
    row = replace(PREFIX, step_ns=4_000_000, speedup=2.0, speedup_low=1.6, speedup_high=2.5)
    step = measured_step(row)
    assert step is not None
    assert (step.value, step.low, step.high) == (4e6, pytest.approx(3.2e6), pytest.approx(5e6))
    assert measured_step(replace(row, speedup_low=None)) == Amount(value=4e6)
    assert measured_step(replace(row, step_ns=None)) is None


def test_examples_are_those_of_the_batches_that_ran() -> None:
    row = replace(PREFIX, batch_size=32, step_ns=2_000_000, examples_per_second=12_500.0)
    assert examples_per_step(row) == pytest.approx(25)
    assert examples_per_step(replace(row, examples_per_second=None)) == 32
    (bill,) = trial_bills([row], Run(examples=100, epochs=3)).values()
    assert bill.steps == 12


def test_the_energy_of_a_trial_is_as_uncertain_as_the_controls_energies_differ() -> None:
    controls = [
        replace(CONTROL, trial_id=str(joules), replicate=number, energy_joules_per_step=joules)
        for number, joules in enumerate((2.0, 2.2, 1.9))
    ]
    row = replace(PREFIX, energy_joules_per_step=1.0)
    assert energy_spread([*controls, row]) == pytest.approx(0.1)
    assert energy_spread([controls[0], row]) is None
    bills = trial_bills([*controls, row], Run(examples=1, epochs=1))
    kwh = bills[row.trial_id].kwh
    assert kwh is not None
    assert (kwh.low, kwh.high) == (pytest.approx(1 / 1.1 / 3.6e6), pytest.approx(1.1 / 3.6e6))
    alone = trial_bills([row], Run(examples=1, epochs=1))[row.trial_id].kwh
    assert alone == Amount(value=pytest.approx(1 / 3.6e6))


def test_a_trial_that_was_not_measured_has_no_bill() -> None:
    failed = replace(PREFIX, status="failed", step_ns=None, speedup=None)
    assert trial_bills([failed], Run(examples=1, epochs=1)) == {}


# ---- Digits


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (Amount(value=12.34, low=11.9, high=12.8), "12.3 [11.9, 12.8]"),
        (Amount(value=12.34, low=10.1, high=14.6), "12 [10, 15]"),
        (Amount(value=123.4, low=110, high=137), "120 [110, 140]"),
        (Amount(value=0.012345, low=0.0122, high=0.0125), "0.0123 [0.0122, 0.0125]"),
        (Amount(value=1234567, low=1234000, high=1235000), "1,235,000 [1,234,000, 1,235,000]"),
        (Amount(value=12.345678, low=12.345677, high=12.345679), "12.35 [12.35, 12.35]"),
        (Amount(value=12.345678, low=12.345678, high=12.345678), "12.35 [12.35, 12.35]"),
        (Amount(value=12.345678), "12"),
        (Amount(value=0.00098765), "0.00099"),
        (Amount(value=98765), "99,000"),
        (Amount(value=1.2345e-9), "1.2e-09"),
        (Amount(value=1.2345e-9, low=1.1e-9, high=1.4e-9), "1.2e-09 [1.1e-09, 1.4e-09]"),
        (None, "–"),
    ],
)  # fmt: skip
def test_figures_have_the_digits_that_their_intervals_support(
    amount: Amount | None, shown: str
) -> None:
    assert amount_words(amount) == shown


@given(amounts())
def test_no_digit_is_finer_than_the_interval_and_none_is_lost(amount: Amount) -> None:
    place = last_place(amount)
    shown = float(re.sub(r" \[.*", "", amount_words(amount)).replace(",", ""))
    assert abs(shown - amount.value) <= 0.5 * 10.0**place * (1 + 1e-6)
    leading = math.floor(math.log10(amount.value))
    assert leading - MOST_DIGITS < place <= leading
    if amount.low is None or amount.high is None:
        assert place == leading - WITHOUT_INTERVAL + 1
        return
    half_width = (amount.high - amount.low) / 2
    assume(half_width > 0)
    assert place >= min(leading, math.floor(math.log10(half_width)))


def test_columns_that_no_bill_fills_are_left_out() -> None:
    hours = Amount(value=3.0)
    plain = Bill(steps=1, hours=hours, kwh=None, kwh_from=None, cost=None)
    paid = replace(plain, cost=Amount(value=7.0, low=6.5, high=7.5))
    assert bill_columns([plain]) == ("hours",)
    assert bill_columns([plain, paid]) == ("hours", "cost")
    assert bill_cells(plain, ("hours", "cost")) == ("3.0", "–")
    assert bill_cells(paid, ("hours", "cost")) == ("3.0", "7.0 [6.5, 7.5]")


def test_what_is_the_user_s_own_is_said_to_be() -> None:
    run = Run(examples=1_281_167, epochs=90, price_per_hour=2.5, watts=350)
    assert run_words(run) == "a run of 90 epochs of 1,281,167 examples at a price of 2.5 an hour"
    assert run_words(Run(examples=1, epochs=1)) == "a run of 1 epoch of 1 example"
    assert "at 350 W, a figure of yours" in energy_words("watts", run)
    assert "--watts" in energy_words(None, run)


# ---- What is refused


@pytest.mark.parametrize("name", ["examples", "epochs", "price_per_hour", "watts"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, -math.inf, 10**400, "much"])
def test_what_cannot_be_meant_is_refused_with_the_range(name: str, value: object) -> None:
    with pytest.raises(
        UsageError, match=rf"^{name} .{{1,30}}: .*( from 1 to |above 0 and at most )"
    ):
        Run(**{name: value})  # type: ignore[arg-type]


def test_examples_and_epochs_are_whole() -> None:
    for name in ("examples", "epochs"):
        with pytest.raises(UsageError, match=rf"{name} 1\.5: .* whole number"):
            Run(**{name: 1.5})  # type: ignore[arg-type]
    Run(
        examples=MOST_EXAMPLES, epochs=MOST_EPOCHS, price_per_hour=MOST_PRICE, watts=MOST_WATTS
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"from 1 to 1,000,000$"):
        Run(epochs=MOST_EPOCHS + 1)


def test_options_go_before_the_study_each_for_itself() -> None:
    study = Run(examples=100, epochs=10, price_per_hour=1.0)
    asked = Run(epochs=20, watts=5.0)
    assert settled(asked, study) == Run(examples=100, epochs=20, price_per_hour=1.0, watts=5.0)
    assert settled(None, study) == settled(Run(), study) == study
    assert settled(None, Run(price_per_hour=1.0)) is None
    assert settled(Run(), Run(examples=5)) is None


@pytest.mark.parametrize(
    ("asked", "stored", "needed"),
    [
        (Run(watts=5.0), Run(), "--examples N and --epochs E as well, or set them"),
        (Run(price_per_hour=5.0), Run(epochs=3), "--examples N as well, or set it"),
        (Run(examples=5), Run(), "--epochs E as well, or set it"),
    ],
)
def test_what_was_asked_for_needs_a_run(asked: Run, stored: Run, needed: str) -> None:
    with pytest.raises(UsageError, match="how long the run is") as raised:
        settled(asked, stored)
    assert needed in str(raised.value)
    assert "[run]" in str(raised.value)


def test_an_incomplete_run_has_no_bill() -> None:
    with pytest.raises(UsageError, match="its examples and its epochs"):
        bill_of(
            Run(examples=5),
            examples_per_step=1,
            step_ns=Amount(value=1.0),
            joules_per_step=None,
            joules_from="measured",
        )
