"""What of an unprofiled step is waiting, whose it is, and what belongs to no layer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frostline.costmodel.anchor import AnchorRun, ProfiledOp, priced
from frostline.costmodel.rest import rest_of
from frostline.costmodel.waits import (
    CompiledStep,
    Dispatched,
    IdleShares,
    StepTimes,
    idle_on_accelerator,
    idle_on_host,
    idle_when_compiled,
    optimizer_dispatch,
)
from frostline.facts.model_facts import ModelFacts

ANCHORS = st.lists(
    st.tuples(st.floats(1e5, 1e9), st.floats(0.0, 2.0)).map(
        lambda pair: (pair[0], float(round(pair[0] * pair[1])))  # whole nanoseconds, as in tables
    ),
    min_size=1,
    max_size=5,
)


def on_gpu(factor: float, remaining: float, *times: tuple[float, float]) -> list[StepTimes]:
    """Anchors whose steps follow the model exactly; times are work and profiled waits."""
    return [
        StepTimes(step=factor * (work + remaining * wait), work=work, wait_ns=wait)
        for work, wait in times
    ]


@pytest.mark.parametrize("factor", [0.97, 1.0, 1.08])
@pytest.mark.parametrize("remaining", [0.1, 0.5, 0.9])
def test_the_part_of_the_waits_that_remains_is_found(factor: float, remaining: float) -> None:
    # GIVEN a step that waits as long as it works, and one that hardly waits
    anchors = on_gpu(factor, remaining, (28e6, 30e6), (9.5e6, 3e6), (3.8e6, 2e6))
    for one, idle in zip(anchors, idle_on_accelerator(anchors), strict=True):
        expected = remaining * one.wait_ns / (one.work + remaining * one.wait_ns)
        assert idle.waits == pytest.approx(expected, abs=0.01)
        assert idle.between == 0.0


def test_a_device_whose_clock_is_slower_without_a_pause_does_not_wait() -> None:
    anchors = on_gpu(1.07, 0.0, (6.78e6, 0.02e6), (1.14e6, 0.004e6), (3.94e6, 0.01e6))
    assert all(idle.waits < 0.005 for idle in idle_on_accelerator(anchors))


def test_more_than_all_waits_cannot_remain() -> None:
    anchors = on_gpu(1.0, 3.0, (10e6, 5e6), (5e6, 1e6), (2e6, 0.1e6))
    for one, idle in zip(anchors, idle_on_accelerator(anchors), strict=True):
        assert idle.waits <= one.wait_ns / (one.work + one.wait_ns) + 1e-9


def test_on_a_host_calling_the_step_is_told_from_dispatch() -> None:
    # GIVEN steps of 250 us for the call, 0.6 us for each op of 0.4 us in the profile, and work
    anchors = [
        StepTimes(step=250e3 + 600.0 * ops + work, work=work, wait_ns=400.0 * ops)
        for ops, work in ((240, 50e3), (122, 48e3), (125, 50e3))
    ]
    for (ops, _), one, idle in zip(
        ((240, 0), (122, 0), (125, 0)), anchors, idle_on_host(anchors), strict=True
    ):
        assert idle.waits * one.step == pytest.approx(600 * ops)
        assert idle.between * one.step == pytest.approx(250e3)


@given(anchors=ANCHORS, factor=st.floats(0.5, 2.0), remaining=st.floats(0.0, 1.0))
def test_shares_are_shares(
    anchors: list[tuple[float, float]], factor: float, remaining: float
) -> None:
    times = on_gpu(factor, remaining, *anchors)
    compiled = [
        CompiledStep(step=one.step, work=one.work, updated=number)
        for number, one in enumerate(times)
    ]
    for found in (idle_on_accelerator(times), idle_on_host(times), idle_when_compiled(compiled)):
        for idle in found:
            assert min(idle.waits, idle.between, idle.updates) >= 0
            assert idle.waits + idle.between + idle.updates <= 1 + 1e-9


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.2])
def test_calling_a_compiled_step_takes_more_the_more_it_updates(factor: float) -> None:
    """GIVEN 350 us a call, 8 us a variable, and a profile that says too much or too little work."""
    anchors = [
        CompiledStep(step=350 + 8 * updated + factor * work, work=work, updated=updated)
        for work, updated in ((300, 20), (90, 2), (180, 2))
    ]
    for one, idle in zip(anchors, idle_when_compiled(anchors), strict=True):
        assert idle.waits == 0
        assert idle.between * one.step == pytest.approx(350, rel=0.03)
        assert idle.updates * one.step == pytest.approx(8 * one.updated, rel=0.1)


def test_a_step_that_updates_nothing_pays_for_no_update() -> None:
    (idle,) = idle_when_compiled([CompiledStep(step=10, work=6, updated=0)])
    assert idle.updates == 0
    assert idle.between == pytest.approx(0.4, abs=0.02)


def test_the_rest_goes_through_the_anchors() -> None:
    rest = rest_of([(0.98, 1.0), (0.26, 0.273), (0.1, 0.111)])
    for prices, step in ((0.98, 1.0), (0.26, 0.273), (0.1, 0.111)):
        assert rest.constant + rest.factor * prices == pytest.approx(step, rel=0.005)


def test_one_anchor_has_a_constant_rest() -> None:
    rest = rest_of([(0.9, 1.0)])
    assert rest.constant + rest.factor * 0.9 == pytest.approx(1.0, rel=1e-3)
    assert rest.factor == pytest.approx(1.0, abs=0.12)


def test_a_step_that_was_measured_too_fast_makes_no_negative_rest() -> None:
    rest = rest_of([(1.0, 1.0), (0.5, 0.4)])
    assert rest.constant >= 0
    assert 0.5 < rest.factor <= 1.0


def dispatched(relative: float, *counts: tuple[float, float]) -> list[Dispatched]:
    """Anchors of 0.5 us for each op, times `relative` for those of the optimizer, and 100 us."""
    return [
        Dispatched(
            step=100 + 0.5 * (others + relative * optimizer),
            waits=0.5 * (others + relative * optimizer),
            optimizer=optimizer,
            others=others,
        )
        for others, optimizer in counts
    ]


@pytest.mark.parametrize("relative", [0.1, 0.3, 0.8, 1.0, 1.4])
def test_what_an_optimizers_op_takes_to_dispatch_is_found(relative: float) -> None:
    """The anchors train everything, the head, and the layers at the input."""
    anchors = dispatched(relative, (120, 160), (80, 30), (110, 40))
    assert optimizer_dispatch(anchors) == pytest.approx(relative, abs=0.03)


def test_without_a_difference_ops_are_dispatched_alike() -> None:
    """One anchor, anchors with the same ops, an optimizer without ops, and no dispatch at all."""
    assert optimizer_dispatch(dispatched(0.3, (100, 0))) == pytest.approx(1)
    assert optimizer_dispatch(dispatched(1.0, (100, 50), (100, 50))) == pytest.approx(1)
    assert optimizer_dispatch([Dispatched(step=10, waits=0, optimizer=5, others=9)]) == 1
    assert optimizer_dispatch([Dispatched(step=10, waits=0, optimizer=0, others=0)]) == 1


@given(
    st.lists(
        st.tuples(st.floats(0, 500), st.floats(0, 500), st.floats(0, 1)), min_size=1, max_size=5
    )
)
def test_whatever_is_dispatched_the_answer_is_a_number(found: list) -> None:
    anchors = [
        Dispatched(step=1.0, waits=waits, optimizer=optimizer, others=others)
        for others, optimizer, waits in found
    ]
    assert 0 <= optimizer_dispatch(anchors) < float("inf")


def test_an_anchors_waits_are_shared_out_by_it_and_stay_the_same_in_sum() -> None:
    def op(pass_: str) -> ProfiledOp:
        return ProfiledOp(
            layer=None,
            pass_=pass_,
            graph_op=None,
            ns_per_step=10,
            wait_ns_per_step=30,  # type: ignore[arg-type]
        )

    known = ModelFacts(
        name="m", layers=(), untrainable_params=0, batch_size=8, build_s=0, trace_s=0
    )
    for relative, expected in ((1.0, 0.2), (0.25, 0.08)):
        run = AnchorRun(
            name="trainable", frozen_variables=frozenset(), relative_step=1.0,
            ops=(op("forward"), op("optimizer")),
            idle=IdleShares(waits=0.4, between=0.1, optimizer=relative),
        )  # fmt: skip
        found = {each.pass_: each for each in priced(run, known, {}).ops}
        assert found["optimizer"].wait == pytest.approx(expected)
        assert found["forward"].wait + found["optimizer"].wait == pytest.approx(0.4)
        assert sum(each.price for each in found.values()) == pytest.approx(1)
