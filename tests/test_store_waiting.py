"""A store that cannot be reached is given up in time, and Ctrl-C does not wait for it."""

from __future__ import annotations

import signal
import threading

import pytest

from frostline.cli import main
from frostline.store.open_uri import open_uri
from frostline.store.waiting import interruptibly


def test_what_the_work_gives_or_raises_comes_back() -> None:
    assert interruptibly(lambda: 5) == 5
    with pytest.raises(ValueError, match="no such place"):
        interruptibly(lambda: int("no such place"))


def test_an_interruption_does_not_wait_for_work_that_ignores_it() -> None:
    done = threading.Event()
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    timer = threading.Timer(0.2, lambda: signal.pthread_kill(main_thread, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        interruptibly(lambda: done.wait(60))
    done.set()
    timer.join()


@pytest.mark.parametrize(
    ("uri", "limit_s"),
    [("gs://anonymous@bucket/out", 30), ("gs://anonymous@bucket/out?retry_limit_seconds=7", 7)],
)
def test_googles_store_is_tried_for_half_a_minute_unless_told(uri: str, limit_s: int) -> None:
    filesystem, base = open_uri(uri)
    assert base == "bucket/out"
    _, (options,) = filesystem.__reduce__()  # it names them nowhere else
    assert options["retry_time_limit"].total_seconds() == limit_s


@pytest.mark.timeout(90)
def test_a_place_that_does_not_answer_ends_with_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    # GIVEN a port of this machine at which nothing listens
    place = (
        "gs://anonymous@bucket/out?retry_limit_seconds=1&scheme=http&endpoint_override=127.0.0.1:9"
    )
    assert main(["report", place]) == 1
    said = capsys.readouterr().err
    assert "gs://" in said
    assert "Traceback" not in said
