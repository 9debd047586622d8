"""TensorFlow and Ray, asked in child processes with a deadline.

In: whether to be thorough. Out: `Devices` and what is wrong with Ray, or why they could not be
asked. A broken installation is an answer here, not a crash.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from frostline.launch import command

DEADLINE_S = 180
"""Ten times what a first import of TensorFlow without `.pyc` files takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """What TensorFlow saw in its child process.

    Attributes:
        gpus: names of its GPUs.
        profile: what a profile of one multiplication held: GPU `kernels`, `host` ops only, or
            `nothing`; None when nothing was profiled.
    """

    gpus: tuple[str, ...]
    profile: Literal["kernels", "host", "nothing"] | None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The child process failed; `error` is the last line that it printed."""

    error: str


def ask_tensorflow(*, thorough: bool) -> Devices | NoAnswer:
    """The devices that TensorFlow sees; thorough: and what a profile on them holds."""
    answer = _ask("frostline.measure.probe", thorough=thorough)
    return answer if isinstance(answer, NoAnswer) else _DEVICES_ADAPTER.validate_json(answer)


def ask_ray(*, thorough: bool) -> NoAnswer | None:
    """None when Ray has what it needs to start; thorough: when an embedded Ray runs a task."""
    answer = _ask("frostline.schedule.ray.probe", thorough=thorough)
    return answer if isinstance(answer, NoAnswer) else None


def _ask(module: str, *, thorough: bool) -> str | NoAnswer:
    """Run a module in a child process; the last line of its output."""
    try:
        done = subprocess.run(
            command(module, "thorough" if thorough else "quick"),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return NoAnswer(f"no answer within {DEADLINE_S} s")
    output = done.stdout if done.returncode == 0 else done.stderr
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = lines[-1] if lines else f"exit code {done.returncode} without a word"
    return last if done.returncode == 0 else NoAnswer(last)


_DEVICES_ADAPTER: TypeAdapter[Devices] = TypeAdapter(Devices)
