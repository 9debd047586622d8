"""A profiled window of training steps, separate from every timing sample.

In: an arm that is warm. Out: the trace file and the steps' times under the profiler. A profiler
that cannot start (no CUPTI permission, another session) gives a reason instead of a trace; the
trial's timing is valid without it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tensorflow as tf

from frostline.measure.arm import Arm
from frostline.measure.blocks import windows_of
from frostline.measure.short_error import short_error
from frostline.trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfiledWindow:
    """What a profiled window gave.

    Attributes:
        trace_file: the `.xplane.pb`; None with a reason in `error`, unless none was asked for.
        step_ns: median time of a profiled step; None when no step was profiled.
        error: why there is no trace.
        windows: how many were profiled to get it.
    """

    trace_file: str | None
    step_ns: int | None
    error: str | None
    windows: int = 0


def profile(arm: Arm, n_steps: int, folder: Path) -> ProfiledWindow:
    """Profile `n_steps` steps of an arm into `folder`, at least; with 0 nothing is profiled.

    Raises:
        TrialError: the loss is not finite.
    """
    if n_steps == 0:
        return ProfiledWindow(trace_file=None, step_ns=None, error=None)
    options = tf.profiler.experimental.ProfilerOptions(
        host_tracer_level=2, python_tracer_level=0, device_tracer_level=1
    )
    try:
        tf.profiler.experimental.start(str(folder), options=options)
    except (tf.errors.OpError, RuntimeError) as error:
        return ProfiledWindow(
            trace_file=None, step_ns=None, error=f"profiler: {short_error(error)}"
        )
    try:
        blocks = arm.profile(n_steps)
    finally:
        stop_error = _stop()
    step_ns = round(statistics.median(block.step_ns for block in blocks))
    if stop_error is not None:
        return ProfiledWindow(trace_file=None, step_ns=step_ns, error=stop_error)
    files = sorted(folder.rglob("*.xplane.pb"))
    if not files:
        return ProfiledWindow(
            trace_file=None, step_ns=step_ns, error="profiler: it wrote no .xplane.pb"
        )
    return ProfiledWindow(trace_file=str(files[-1]), step_ns=step_ns, error=None)


def profile_trial(trial: Trial, arm: Arm, n_steps: int, scratch: Path) -> ProfiledWindow:
    """Profile a trial: once, or for an anchor on a CPU the least disturbed of several windows.

    Every prediction is made from the ops of anchors. Their windows are longer, so that medians are
    reliable, and on CPUs separate in time, because other work on the machine comes in phases that
    slow some ops more than others. The windows of other trials have `n_steps` steps; with 0 nothing
    is profiled. `scratch` is an empty folder.
    """
    count, length = windows_of(trial, on_gpu=bool(tf.config.list_logical_devices("GPU")))
    if n_steps == 0:
        return profile(arm, 0, scratch)
    windows = []
    for number in range(count):
        if length > 1:
            arm.run(arm.block_steps)
        windows.append(profile(arm, length * n_steps, scratch / f"profile-{number}"))
    return least_disturbed(windows)


def least_disturbed(windows: Sequence[ProfiledWindow]) -> ProfiledWindow:
    """The window with the fastest median step; the last failure where no window left a trace."""
    usable = [window for window in windows if window.trace_file is not None]
    best = min(usable, key=lambda window: window.step_ns or 0, default=windows[-1])
    return replace(best, windows=len(windows))


def _stop() -> str | None:
    try:
        tf.profiler.experimental.stop()
    except (tf.errors.OpError, RuntimeError) as error:
        return f"profiler: {short_error(error)}"
    return None
