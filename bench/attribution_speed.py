"""How fast and in how much memory is a profile read? `python bench/attribution_speed.py`

Two traces of a million events, with the graph of their step, so that attribution has everything to
do: a recording of ResNet50's training on this machine's CPU, and the same ops as kernels on a GPU's
streams (written, see `bench/long_traces.py`). Each is converted, attributed and put into rows, in
turns with what a user would pick instead, xprof's own `framework_op_stats` conversion of the same
file; both in processes that are warm. Printed: both times, the ratio of the pairs (limit 1), the
peak memory of the two processes that read (limit 1.5 GB for a million events; in a run of its own),
and the largest difference between an op's total here and there, over the ops that xprof lists (the
500 longest). The ratio and the memory for each event are recorded (`bench/results.json`). Last:
the time to analyse ResNet50's traced training function, walk, layers and uses (limit 2 s).

Memory is what is resident: the trace itself, mapped from its file, counts as well.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from long_traces import write_gpu_trace
from results import Row, record, row_of
from rich.console import Console
from rich.table import Table

from frostline.attribute.attribute import attribute, attributed_fraction
from frostline.attribute.step_graph import StepGraph
from frostline.results.detail_rows import op_cost_rows
from frostline.results.profile_columns import profile_columns
from frostline.trace.converter import TraceConverter
from frostline.trace.ops import Trace

HERE = Path(__file__).parent
EVENTS = 1_000_000
REPEATS = 5
RATIO_LIMIT, MEMORY_LIMIT_GB, ANALYSIS_LIMIT_S = 1.0, 1.5, 2.0

THEIRS = """
import json, sys, time
from xprof.convert import raw_to_tool_data
for line in sys.stdin:
    started = time.perf_counter()
    table, _ = raw_to_tool_data.xspace_to_tool_data([line.strip()], "framework_op_stats", {})
    seconds = time.perf_counter() - started
    parsed = json.loads(table)
    columns = [column["id"] for column in parsed[1]["cols"]]
    rows = [dict(zip(columns, [cell["v"] for cell in row["c"]])) for row in parsed[1]["rows"]]
    listed = [
        [row["host_or_device"], row["operation"], row["total_self_time"]]
        for row in rows if row["operation"] != "IDLE"
    ]
    print("ANSWER " + json.dumps([seconds, listed]), flush=True)
"""


def main() -> int:
    """Record, time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench-out/attribution"))
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    cpu = asked.out / f"cpu-{asked.events}.xplane.pb"
    made = cpu.with_suffix(".json")
    if not made.exists():
        recorder = [sys.executable, str(HERE / "record_step.py"), str(cpu), str(asked.events)]
        subprocess.run(recorder, check=True)
    graph = StepGraph.load(asked.out / "graph.json")
    found: list[Row] = []
    table = Table(title=f"{asked.events:,} events", box=None, pad_edge=False)
    for column in (
        "trace", "events", "of ops", "Frostline", "framework_op_stats", "ratio (limit 1)",
        "memory (limit 1.5 GB)", "attributed", "op totals differ by at most",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column == "trace" else "right")
    with TraceConverter() as converter, _theirs() as theirs:
        gpu = asked.out / f"gpu-{asked.events}.xplane.pb"
        written = gpu.with_suffix(".json")
        if not written.exists():
            count = write_gpu_trace(gpu, converter.convert(cpu), events=asked.events)
            written.write_text(json.dumps({"events": count}))
        for name, path, facts in (("CPU, recorded", cpu, made), ("GPU, written", gpu, written)):
            events = json.loads(facts.read_text())["events"]
            cells, ratios, peak = _compare(path, graph, converter, theirs, asked.repeats)
            table.add_row(name, f"{events:,}", *cells)
            found += _rows(name, asked.events, ratios, peak / events)
    console = Console(width=170)
    console.print(table)
    record(found)
    seconds = json.loads(made.read_text())["analysis_s"]
    console.print(
        f"ResNet50's training function ({len(graph.ops)} ops): analysed in "
        f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f}, "
        f"{len(seconds)} times), limit {ANALYSIS_LIMIT_S:g} s"
        f"{_mark(statistics.median(seconds) <= ANALYSIS_LIMIT_S)}"
    )
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One reading of a trace by this program."""

    seconds: float
    trace: Trace
    attributed: float


def read(path: Path, graph: StepGraph, converter: TraceConverter) -> Read:
    """What a lease does with a trial's trace, until its rows are there."""
    started = time.perf_counter()
    trace = converter.convert(path)
    costs = attribute(trace, graph)
    op_cost_rows("trial", costs)
    profile_columns(trace, costs, graph)
    seconds = time.perf_counter() - started
    return Read(seconds=seconds, trace=trace, attributed=attributed_fraction(costs) or 0.0)


def _compare(
    path: Path, graph: StepGraph, converter: TraceConverter, theirs: Theirs, repeats: int
) -> tuple[list[str], list[float], int]:
    """The cells of a table, the ratios of the pairs, and the peak in bytes."""
    with _peak_memory(converter) as peak:
        mine = read(path, graph, converter)
    ours_s, theirs_s = [], []
    listed: list[tuple[str, str, float]] = []
    for number in range(repeats):
        if number % 2:
            mine = read(path, graph, converter)
            seconds, listed = theirs.convert(path)
        else:
            seconds, listed = theirs.convert(path)
            mine = read(path, graph, converter)
        ours_s.append(mine.seconds)
        theirs_s.append(seconds)
    ratios = [ours / other for ours, other in zip(ours_s, theirs_s, strict=True)]
    ratio, gigabytes = statistics.median(ratios), peak[0] / 1e9
    cells = [
        f"{sum(op.calls for op in mine.trace.ops):,}",
        _spread(ours_s, " s"),
        _spread(theirs_s, " s"),
        _spread(ratios, "x") + _mark(ratio <= RATIO_LIMIT),
        f"{gigabytes:.2f} GB" + _mark(gigabytes <= MEMORY_LIMIT_GB),
        f"{mine.attributed:.2%}",
        _difference(mine.trace, listed),
    ]
    return cells, ratios, peak[0]


def _rows(name: str, events: int, ratios: list[float], bytes_each: float) -> list[Row]:
    command = f"python bench/attribution_speed.py --events {events}"
    words = f"{name.split(',')[0]}, {events:,} events"
    return [
        row_of(
            f"reading a trace / `framework_op_stats` of it, {words}", ratios, unit="x",
            aim=f"<= {RATIO_LIMIT}", command=command,
        ),
        Row(
            name=f"memory for an event of a trace, {words}", value=bytes_each / 1000, low=None,
            high=None, n=1, unit="KB", aim="<= 1" if events >= EVENTS else None, command=command,
            note="what the interpreters take included",
        ),
    ]  # fmt: skip


def _difference(trace: Trace, listed: list[tuple[str, str, float]]) -> str:
    """The largest difference of an op's total, over the ops of the side that we count."""
    ours_us: dict[str, float] = defaultdict(float)
    for op in trace.ops:
        ours_us[op.op_name] += op.self_ns / 1000
    on_device = any(op.device.startswith("/device:") for op in trace.ops)
    theirs_us = {name: us for side, name, us in listed if (side == "Device") == on_device}
    if not theirs_us:
        return "none listed"
    worst = max(abs(ours_us[name] - us) for name, us in theirs_us.items())
    return f"{worst:.3f} µs ({len(theirs_us)} ops)"


def _spread(values: list[float], unit: str) -> str:
    return f"{statistics.median(values):.2f}{unit} ({min(values):.2f}-{max(values):.2f})"


def _mark(held: bool) -> str:
    return "" if held else " MISSED"


@contextmanager
def _peak_memory(converter: TraceConverter) -> Iterator[list[int]]:
    """Largest sum of the resident memory of this process and of the converter's, in bytes."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            pids = [os.getpid(), *([converter.pid] if converter.pid else [])]
            try:
                total = sum(psutil.Process(pid).memory_info().rss for pid in pids)
            except psutil.NoSuchProcess:
                continue
            peak[0] = max(peak[0], total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


class Theirs:
    """xprof's conversion, in a process that has already imported it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def convert(self, path: Path) -> tuple[float, list[tuple[str, str, float]]]:
        """Convert a copy (xprof keeps what it computed beside a file).

        Returns:
            Seconds, and per op where it ran (`Host`, `Device`), its name and self time in
            microseconds.
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the process has no pipes")
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            copy = shutil.copy(path, Path(folder) / "vm.xplane.pb")
            self._process.stdin.write(f"{copy}\n")
            self._process.stdin.flush()
            for line in self._process.stdout:
                if line.startswith("ANSWER "):
                    seconds, listed = json.loads(line.removeprefix("ANSWER "))
                    return seconds, [(side, name, us) for side, name, us in listed]
        raise RuntimeError(f"framework_op_stats of {path} failed")


@contextmanager
def _theirs() -> Iterator[Theirs]:
    process = subprocess.Popen(
        [sys.executable, "-c", THEIRS], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield Theirs(process)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
