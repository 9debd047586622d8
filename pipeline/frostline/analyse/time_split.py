"""Where the time of a sweep went.

In: the rows that a run committed and the run's wall time. Out: `TimeSplit`, the seconds of every
measuring slot by phase. The phases and `rest_s` add up to slots x wall time; where they cannot
(rows of several runs), `rest_s` is None.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from frostline.store.trial_row import TrialRow


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSplit:
    """Seconds by phase, summed over slots that measure side by side.

    Attributes:
        wall_s: wall time of the run.
        slots: devices (or sets of cores) that measured in parallel; at least 1.
        stepping_s: training steps of both arms, timing samples or not.
        build_s: building models.
        compile_s: tracing and compiling steps.
        check_s: the freeze check; it runs training steps.
        profile_s: the profiled windows; they run training steps.
        convert_s: conversion and attribution of traces.
        rest_s: everything else: starting processes, imports, storing, waiting, failed attempts;
            None when the phases add up to more than the slots had, as with rows of earlier runs.
    """

    wall_s: float
    slots: int
    stepping_s: float
    build_s: float
    compile_s: float
    check_s: float
    profile_s: float
    convert_s: float
    rest_s: float | None

    @property
    def overhead_s(self) -> float | None:
        """Everything that neither steps nor builds, traces or compiles a model.

        The freeze check and the profiled windows count as stepping, because they run training
        steps. So the overhead is `convert_s + rest_s`.
        """
        return None if self.rest_s is None else self.convert_s + self.rest_s

    @property
    def overhead_fraction(self) -> float | None:
        """`overhead_s` as a share of all slots' time; None where that is not known or is zero."""
        total = self.wall_s * self.slots
        return None if self.overhead_s is None or total == 0 else self.overhead_s / total


def time_split(
    rows: Iterable[TrialRow],
    wall_s: float,
    *,
    slots: int | None = None,
    openings: Mapping[str, float] | None = None,
) -> TimeSplit:
    """Split the time of a run.

    Args:
        rows: the trials that this run measured. A phase that is null in a row (of a trial that
            failed early) counts as zero, so that its time is part of the rest.
        wall_s: wall time of the run, seconds.
        slots: trials that ran side by side; by default the distinct devices in the rows.
        openings: seconds of building, compiling and warming up the baselines, which are in no
            row: `open_build`, `open_trace` and `open_step` of `SweepResult.seconds`.

    Raises:
        ValueError: a negative or non-finite wall time, or no slot.
    """
    rows = list(rows)
    if not math.isfinite(wall_s) or wall_s < 0:
        raise ValueError(f"a wall time is finite and not negative, got {wall_s}")
    if slots is None:
        slots = max(1, len({(row.host, row.device_id) for row in rows if row.device_id}))
    if slots < 1:
        raise ValueError(f"a run has at least one slot, got {slots}")
    opened = openings or {}
    phases = {
        "stepping_s": math.fsum(row.stepping_s or 0.0 for row in rows)
        + opened.get("open_step", 0.0),
        "build_s": math.fsum(row.build_s or 0.0 for row in rows) + opened.get("open_build", 0.0),
        "compile_s": math.fsum(row.compile_s or 0.0 for row in rows)
        + opened.get("open_trace", 0.0),
        "check_s": math.fsum(row.check_s or 0.0 for row in rows),
        "profile_s": math.fsum(row.profile_s or 0.0 for row in rows),
        "convert_s": math.fsum(row.convert_s or 0.0 for row in rows),
    }
    rest_s = wall_s * slots - math.fsum(phases.values())
    return TimeSplit(wall_s=wall_s, slots=slots, rest_s=rest_s if rest_s >= 0 else None, **phases)
