"""How many windows a trial is profiled in: as many as the cost model needs on its device."""

from __future__ import annotations

import pytest
from schedule_kit import trial

pytestmark = pytest.mark.tf

ANCHOR = trial("all_but_head", anchor="pruned")
CONTROLS = tuple(
    trial("none", is_control=True, replicate=number, anchor=None if number else "trainable")
    for number in range(3)
)
PLAIN = trial("prefix:1")


def test_on_a_cpu_anchors_and_all_controls_have_three_long_windows() -> None:
    from frostline.measure.blocks import windows_of

    for each in (ANCHOR, *CONTROLS):
        assert windows_of(each, on_gpu=False) == (3, 2)
    assert windows_of(PLAIN, on_gpu=False) == (1, 1)


def test_on_a_gpu_one_window_is_enough_and_an_anchors_is_long() -> None:
    from frostline.measure.blocks import windows_of

    assert windows_of(ANCHOR, on_gpu=True) == windows_of(CONTROLS[0], on_gpu=True) == (1, 2)
    for each in (*CONTROLS[1:], PLAIN):
        assert windows_of(each, on_gpu=True) == (1, 1)


def test_the_least_disturbed_window_says_how_many_there_were() -> None:
    from frostline.measure.profiler import ProfiledWindow, least_disturbed

    windows = [
        ProfiledWindow(trace_file="a", step_ns=9, error=None, windows=1),
        ProfiledWindow(trace_file="b", step_ns=7, error=None, windows=1),
        ProfiledWindow(trace_file=None, step_ns=5, error="profiler: busy", windows=1),
    ]
    best = least_disturbed(windows)
    assert (best.trace_file, best.windows) == ("b", 3)
    assert least_disturbed(windows[2:]).error == "profiler: busy"
