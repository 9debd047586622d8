"""What the trials of a sweep spend on compiling and on profiling, beside what they measure.

    python bench/trial_time.py OUT...

Windows and compilations are columns of `trials`. A sweep of before version 0.2.0 has neither. Its
windows are counted in the trials' logs, where each start of the profiler leaves a line. That the
baseline was compiled again shows in its first step beside each trial, which is a sample (`steps`,
warm-up of pair 0).
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence

from frostline import open_sweep
from frostline.store.sweep import Sweep
from frostline.store.trial_row import TrialRow

_PROFILER_LINE = "python_tracer_level expects"
_FIRST = ("profile_s", "compile_s")
_LAST = ("stepping_s", "duration_s")


def windows_of(sweep: Sweep, rows: Sequence[TrialRow]) -> tuple[int, str]:
    """Profile windows of all trials, and where the number is from."""
    counted = [row.profile_windows for row in rows if row.profile_windows is not None]
    if len(counted) == len(rows):
        return sum(counted), "recorded"
    logs = (sweep.out.read_text(f"logs/{row.trial_id}.log") or "" for row in rows)
    return sum(log.count(_PROFILER_LINE) for log in logs), "by the logs"


def lost_s(sweep: Sweep, row: TrialRow) -> float:
    """Seconds by which the baseline's first step beside a trial exceeds its usual one."""
    samples = [
        each
        for each in sweep.table("steps", trials=[row.trial_id]).to_pylist()
        if each["arm"] == "baseline" and each["pair"] >= 0
    ]
    usual_ns = statistics.median(each["step_ns"] for each in samples)
    first = min(samples, key=lambda each: (each["pair"], each["position"], not each["warmup"]))
    return float(max(0.0, (first["step_ns"] - usual_ns) * first["n_steps"] / 1e9))


def main() -> None:
    """Print a table with a row for each sweep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="+")
    print(
        "| sweep | trials | profile windows | profile_s | compile_s | steps compiled "
        "| baseline compiled again, s | stepping_s | duration_s |"
    )
    for place in parser.parse_args().out:
        sweep = open_sweep(place)
        rows = [row for row in sweep.trial_rows() if row.speedup is not None]
        windows, source = windows_of(sweep, rows)
        compiled = [row.step_compilations for row in rows if row.step_compilations is not None]
        said = [
            str(len(rows)),
            f"{windows} ({source})",
            *(f"{sum(getattr(row, name) or 0 for row in rows):.1f}" for name in _FIRST),
            str(sum(compiled)) if len(compiled) == len(rows) else "not recorded",
            f"{sum(lost_s(sweep, row) for row in rows):.1f}",
            *(f"{sum(getattr(row, name) or 0 for row in rows):.1f}" for name in _LAST),
        ]
        print(f"| {place} | {' | '.join(said)} |")


if __name__ == "__main__":
    main()
