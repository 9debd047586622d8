"""What a finished trial held is freed; what takes long to free, by a thread of its own."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.tf

DELETED = "frostline-let-go"


class Batches(Iterator[int]):
    """Notes which thread deletes it."""

    def __init__(self) -> None:
        self.gone = threading.Event()
        self.by: list[str] = []

    def __next__(self) -> int:
        return 1

    def __del__(self) -> None:
        self.by.append(threading.current_thread().name)
        self.gone.set()


class Cycle:
    """Holds the batches as a trial's model does: only a collection frees it."""

    def __init__(self, batches: Batches) -> None:
        self.itself = self
        self.batches = batches


class FailedTrial(Exception):
    pass


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    from frostline.measure.memory_release import let_go

    yield
    let_go()


def trial(fails: bool) -> tuple[list[str], threading.Event]:
    from frostline.measure.memory_release import kept

    batches = kept(Batches())
    model = Cycle(batches)
    found = batches.by, batches.gone
    if fails:
        raise FailedTrial(*found)
    assert model.batches is batches
    return found


def test_the_batches_of_a_trial_are_deleted_aside() -> None:
    from frostline.measure.memory_release import transient_models

    with transient_models():
        by, gone = trial(fails=False)
    assert gone.wait(20)
    assert by == [DELETED]


def test_those_of_a_trial_that_failed_are_deleted_while_its_error_is_told() -> None:
    from frostline.measure.memory_release import transient_models

    with pytest.raises(FailedTrial) as told, transient_models():
        trial(fails=True)
    by, gone = told.value.args
    assert gone.wait(20)
    assert by == [DELETED]
    assert [frame.name for frame in told.traceback][-1] == "trial"


def test_so_are_those_of_an_error_behind_another() -> None:
    from frostline.measure.memory_release import transient_models

    def behind() -> None:
        try:
            trial(fails=True)
        except FailedTrial as error:
            raise KeyError(*error.args) from error

    with pytest.raises(KeyError) as told, transient_models():
        behind()
    by, gone = told.value.args
    assert gone.wait(20)
    assert by == [DELETED]


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
