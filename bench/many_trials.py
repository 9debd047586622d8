"""A sweep of very many no-op trials: does the driver grow, and does a trial get dearer?

In: how many, and where. Out: a few lines on a console, and whether the limits are kept. The whole
of `run_sweep` runs, planning and predictions included; time per trial is read off the outcomes.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil
from noop import inspected, study
from rich.console import Console

from frostline.results.outcome import TrialOutcome
from frostline.sweep.run import run_sweep

MOST_GROWTH_BYTES = 300 * 10**6
MOST_DEARER = 1.2
START, END = (0.02, 0.12), (0.88, 0.98)


class Watch:
    """A listener that notes when each trial ended, and what the driver has used by then."""

    def __init__(self) -> None:
        self.planned_s = 0.0
        self.ended_s: list[float] = []
        self.driver_cpu_s: list[float] = []

    def on_notice(self, text: str) -> None:
        pass

    def on_planned(self, labels: dict[str, str], finished: int) -> None:
        self.planned_s = time.perf_counter()

    def on_stage(self, trial_id: str, stage: str) -> None:
        pass

    def on_outcome(self, outcome: TrialOutcome) -> None:
        self.ended_s.append(time.perf_counter())
        self.driver_cpu_s.append(time.process_time())

    def window(self, share: tuple[float, float]) -> tuple[float, float]:
        """Wall and driver's CPU seconds per trial between two shares of all trials."""
        first, last = (int(len(self.ended_s) * each) for each in share)
        count = last - first
        return (
            (self.ended_s[last] - self.ended_s[first]) / count,
            (self.driver_cpu_s[last] - self.driver_cpu_s[first]) / count,
        )


class Memory(threading.Thread):
    """Samples this process's resident size, ten times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process()
        self._over = threading.Event()
        self.first = self.most = self._process.memory_info().rss

    def run(self) -> None:
        while not self._over.wait(0.1):
            self.most = max(self.most, self._process.memory_info().rss)

    def stop(self) -> int:
        """Bytes that it has grown by at most."""
        self._over.set()
        self.join()
        return self.most - self.first


def many(trials: int, out: Path, cpus: int, console: Console) -> bool:
    """Run them; True when both limits are kept."""
    watch, memory = Watch(), Memory()
    memory.start()
    began = time.perf_counter()
    done = run_sweep(
        study(trials, cpus=cpus), str(out), listener=watch, inspect=inspected,
        process_module="noop_process",
    )  # fmt: skip
    ended = time.perf_counter()
    grown = memory.stop()
    if done.failed or done.planned < 0.99 * trials:  # draws that come out equal are one trial
        raise SystemExit(f"{done.ok} of {done.planned} trials are ok, {trials} were asked for")
    (start_s, start_cpu_s), (end_s, end_cpu_s) = watch.window(START), watch.window(END)
    before_s, after_s = watch.planned_s - began, ended - watch.ended_s[-1]
    console.print(
        f"\n{done.planned:,} no-op trials in {ended - began:.0f} s: {before_s:.1f} s before Ray "
        f"starts, Ray {done.ray_start_s:.1f} s, {after_s:.1f} s after the last trial"
    )
    console.print(
        f"a trial at the start {start_s * 1e3:.1f} ms, at the end {end_s * 1e3:.1f} ms: "
        f"{end_s / start_s:.2f} times, limit {MOST_DEARER}; of it the driver's CPU "
        f"{start_cpu_s * 1e3:.2f} and {end_cpu_s * 1e3:.2f} ms"
    )
    console.print(f"the driver grew by {grown / 1e6:.0f} MB, limit {MOST_GROWTH_BYTES / 1e6:.0f}")
    phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in sorted(done.seconds.items()))
    console.print(f"seconds by phase, summed over trials: {phases}")
    return end_s / start_s <= MOST_DEARER and grown < MOST_GROWTH_BYTES
