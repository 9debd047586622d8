"""What the benchmarks found, a row for each figure: `bench/results.json`, and a table of it.

    python bench/results.py            # the table, as Markdown

Benchmarks that compare put their rows here with `record`. A row of the same name is replaced, so
each may be run alone. Every ratio was measured side by side, in one run, and has the spread of that
run. Seconds are recorded only where an aim is one of seconds, since they say more about the machine
than about the program.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from frostline.machine import this_machine
from frostline.version import __version__

RESULTS = Path(__file__).parent / "results.json"

Unit = Literal["x", "%", "exponent", "s", "KB"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure.

    Attributes:
        name: what is compared, in words; unique.
        value: the median over the repeats, in `unit`.
        low, high: least and most of them, or an interval that `note` names; None for one value.
        n: how many repeats; a benchmark's own number is in its `--help`, and may be another.
        unit: `x` (a ratio), `%`, `exponent`, `s`, `KB`.
        aim: what is wanted of the value, as `<= 1.0` or `>= 3`; None: no aim.
        command: repeats it, from the project's folder.
        note: what one must know to read it.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    unit: Unit
    aim: str | None
    command: str
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None without one."""
        if self.aim is None:
            return None
        sign, limit = self.aim.split()
        value = float(self.value)  # a numpy number would give numpy's bool, which is no JSON
        return value <= float(limit) if sign == "<=" else value >= float(limit)


def row_of(
    name: str,
    values: Sequence[float],
    *,
    unit: Unit,
    aim: str | None,
    command: str,
    note: str = "",
) -> Row:
    """A row from repeats: their median, the least and the most; one repeat has no spread."""
    several = len(values) > 1
    return Row(
        name=name, value=statistics.median(values),
        low=min(values) if several else None, high=max(values) if several else None,
        n=len(values), unit=unit, aim=aim, command=command, note=note,
    )  # fmt: skip


def record(rows: Sequence[Row]) -> None:
    """Print the rows, and put them into the file in place of those of the same names."""
    path = RESULTS
    known = json.loads(path.read_text())["rows"] if path.exists() else []
    kept = {each["name"]: each for each in known}
    for row in rows:
        kept[row.name] = {
            **asdict(row),
            "met": row.met,
            "machine": machine(),
            "version": __version__,
            "date": datetime.now(UTC).date().isoformat(),
        }
        print(line(kept[row.name]), flush=True)
    text = json.dumps({"rows": [kept[name] for name in sorted(kept)]}, indent=1)
    path.write_text(text + "\n")


def machine() -> str:
    """This machine in words: cores and their kind, memory, GPUs."""
    found = this_machine()
    gpus = ", ".join(found.gpu_names) if found.gpus else "no GPU"
    memory = found.memory_bytes / 1e9
    return f"{found.cores} cores of {_cpu()}, {memory:.0f} GB, {gpus}"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [each.split(":", 1)[1].strip() for each in lines if each.startswith("model name")]
    return names[0] if names else platform.machine()


def line(row: dict[str, object]) -> str:
    """A row as a line of the Markdown table."""
    unit = row["unit"]

    def said(value: object) -> str:
        number = float(str(value))
        if unit == "exponent":
            return f"{number:.2f}"
        digits = f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"
        return f"{digits}{unit}" if unit in ("x", "%") else f"{digits} {unit}"

    spread = "" if row["low"] is None else f" ({said(row['low'])} to {said(row['high'])})"
    verdict = {None: "", True: "met", False: "**missed**"}[row["met"]]  # type: ignore[index]
    aim = row["aim"] or ""
    note = f" {row['note']}" if row["note"] else ""
    return (
        f"| {row['name']}{note and ':' + note} | {said(row['value'])}{spread} | {row['n']} "
        f"| {aim} {verdict} | `{row['command']}` |"
    )


def main() -> int:
    """Print the table; 1 where nothing was measured yet."""
    if not RESULTS.exists():
        print("nothing was measured yet: make bench", file=sys.stderr)
        return 1
    rows = json.loads(RESULTS.read_text())["rows"]
    print("| what | median (spread) | repeats | aim | command |\n|---|---|---|---|---|")
    for row in rows:
        print(line(row))
    print()
    for words in sorted({row["machine"] for row in rows}):
        print(f"Measured on {words}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
