"""What a finished trial held is freed; what takes long to free, by a thread of its own."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.tf

DELETED = "frostline-let-go"


class Batches(Iterator[int]):
    """An iterator in a reference cycle, as TensorFlow's are; notes which thread deletes it."""

    def __init__(self) -> None:
        self.itself = self
        self.gone = threading.Event()
        self.by: list[str] = []
        note = (self.by, self.gone)
        self._cell = _Cell(*note)

    def __next__(self) -> int:
        return 1


class _Cell:
    def __init__(self, by: list[str], gone: threading.Event) -> None:
        self.by, self.gone = by, gone

    def __del__(self) -> None:
        self.by.append(threading.current_thread().name)
        self.gone.set()


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    yield
    from frostline.measure.memory_release import let_go

    let_go()


def trial(fails: bool) -> tuple[list[str], threading.Event]:
    from frostline.measure.memory_release import kept

    batches = kept(Batches())
    found = batches.by, batches.gone
    if fails:
        raise ValueError(*found)
    return found


def test_the_batches_of_a_trial_are_deleted_aside() -> None:
    from frostline.measure.memory_release import transient_models

    with transient_models():
        by, gone = trial(fails=False)
    assert gone.wait(20)
    assert by == [DELETED]


def test_those_of_a_trial_that_failed_are_deleted_as_well() -> None:
    """By whoever drops the last reference: the traceback holds one for a while."""
    from frostline.measure.memory_release import transient_models

    def failed() -> Any:
        try:
            with transient_models():
                trial(fails=True)
        except ValueError as error:
            return error.args

    by, gone = failed()
    gc.collect()
    assert gone.wait(20)
    assert len(by) == 1


def test_the_baselines_stay_until_it_is_closed() -> None:
    from frostline.measure.memory_release import let_go, transient_models

    by, gone = trial(fails=False)
    with transient_models():
        _, of_trial = trial(fails=False)
    assert of_trial.wait(20)
    gc.collect()
    assert by == []
    let_go()
    assert gone.wait(20)
    assert by == [DELETED]
