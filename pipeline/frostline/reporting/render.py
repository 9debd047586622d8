"""The figures of a report as SVG and PNG in a folder; many figures are drawn by several processes.

In: the sections. Out: files named after section and figure. A figure takes a third of a second, and
a sweep over forty models has three hundred of them.
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
from collections.abc import Iterable
from pathlib import Path

from frostline.child import PARENT
from frostline.errors import FrostlineError, UsageError
from frostline.launch import command
from frostline.reporting import rasterise
from frostline.reporting.figures.figure import FigureSection
from frostline.scratch import scratch_folder

PER_PROCESS = 4
"""For fewer figures than this, another process is not worth its start."""

DEADLINE_S = 1_800.0
"""The largest report takes a hundredth of it."""
_KILLED_S = 10.0

_ADDRESSES_BYTES = 68 * 10**9
"""What the script engine that draws reserves of a process's addresses; it uses 0.1% as memory."""


def refuse_small_limit() -> None:
    """Refuse to draw where a limit on this process's addresses would end the engine with a signal.

    Raises:
        UsageError: there is such a limit (`ulimit -v`).
    """
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if resource.RLIM_INFINITY != most < _ADDRESSES_BYTES:
        raise UsageError(
            f"figures cannot be drawn under `ulimit -v {most // 1024}`: the script engine reserves "
            f"{_ADDRESSES_BYTES // 10**9} GB of addresses, though little memory. Run it under "
            "`ulimit -v unlimited`; to limit memory itself, use a control group "
            "(`systemd-run --user --scope -p MemoryMax=2G`)"
        )


def figure_name(section: FigureSection, kind: str) -> str:
    """File name of a figure, without extension."""
    return f"{section.anchor}-{kind}"


def render_figures(
    sections: Iterable[FigureSection],
    folder: Path,
    *,
    cores: int | None = None,
    per_process: int = PER_PROCESS,
) -> None:
    """Draw every figure.

    Args:
        sections: of the report.
        folder: takes `NAME.svg` and `NAME.png` of each figure, and nothing else.
        cores: the most processes; by default the cores that this process may use.
        per_process: the fewest figures for which another process is started.

    Raises:
        FrostlineError: a process that draws has failed; with the last line that it printed.
    """
    with scratch_folder(prefix="frostline-figures-") as drawn_in:
        specs = [
            _written(drawn_in / f"{figure_name(section, figure.kind)}.json",
                     {**figure.spec, "datasets": dict(figure.data)})
            for section in sections
            for figure in section.figures
        ]  # fmt: skip
        most = len(os.sched_getaffinity(0)) if cores is None else cores
        processes = min(most, math.ceil(len(specs) / per_process))
        if processes > 1:
            _side_by_side(drawn_in, processes)
        else:
            rasterise.draw(specs)
        for spec in specs:
            for kind in (".svg", ".png"):
                (folder / f"{spec.stem}{kind}").write_bytes(spec.with_suffix(kind).read_bytes())


def _written(path: Path, spec: dict[str, object]) -> Path:
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path


def _side_by_side(folder: Path, processes: int) -> None:
    """Give each of n processes every n-th figure, since neighbours are alike in size."""
    running = [
        subprocess.Popen(
            command(rasterise.__name__, str(folder), str(number), str(processes)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {PARENT: str(os.getpid())},
        )
        for number in range(processes)
    ]
    try:
        for process in running:
            _, said = process.communicate(timeout=DEADLINE_S)
            if process.returncode:
                last = said.strip().splitlines()[-1:] or ["it was killed, or out of memory"]
                raise FrostlineError(
                    f"the figures could not be drawn: a process ended with "
                    f"{process.returncode}: {last[0]}"
                )
    except subprocess.TimeoutExpired:
        raise FrostlineError(
            f"the figures could not be drawn within {DEADLINE_S:.0f} s: a process that draws them "
            "hangs, or is stopped"
        ) from None
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                process.wait(_KILLED_S)
            if process.stderr is not None:
                process.stderr.close()
