"""Events that travel together: each arrives, in order, and none waits for what is slow."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from frostline.results.outcome import TrialOutcome
from frostline.schedule.events import Idle, LeaseEvent, StageEntered
from frostline.schedule.ray.event_batches import HELD_S, batched


def stage(number: int) -> StageEntered:
    return StageEntered(trial_id=str(number), stage="start")


class Clock:
    """Time that passes as the events say."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.tuples(st.floats(0, 0.2), st.booleans())))
def test_every_event_arrives_once_in_order_and_is_held_for_no_longer_than_said(
    said: list[tuple[float, bool]],
) -> None:
    clock, came_at = Clock(), {}

    def events() -> Iterator[LeaseEvent]:
        for number, (wait_s, idle) in enumerate(said):
            clock.now += wait_s
            came_at[number] = clock.now
            yield Idle() if idle else stage(number)

    arrived = []
    for batch in batched(events(), clock=clock):
        assert batch
        times = [came_at[int(each.trial_id)] for each in batch]
        assert all(came_s - times[0] < HELD_S for came_s in times[:-1])
        arrived += batch
    assert arrived == [stage(number) for number, (_, idle) in enumerate(said) if not idle]


def test_what_comes_before_a_wait_is_sent_before_it() -> None:
    asked: list[str] = []

    def events() -> Iterator[LeaseEvent]:
        yield stage(1)
        yield stage(2)
        yield Idle()
        asked.append("waited")
        yield stage(3)

    sent = batched(events(), clock=Clock())
    assert next(sent) == (stage(1), stage(2))
    assert asked == []
    assert list(sent) == [(stage(3),)]


def test_an_outcome_goes_before_the_next_trial_begins() -> None:
    outcome = TrialOutcome(trial_id="1", model="net", policy="norms", status="ok", attempts=1)
    sent = list(batched(iter([stage(1), outcome, stage(2)]), clock=Clock()))
    assert sent == [(stage(1), outcome), (stage(2),)]
