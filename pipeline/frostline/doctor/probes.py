"""TensorFlow and Ray, asked in child processes with a deadline.

In: nothing but whether to be thorough. Out: `Devices` and what is wrong with Ray, or why neither
could be asked; a broken installation is an answer here and not a crash.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

DEADLINE_S = 180
"""Ten times what a first import of TensorFlow without `.pyc` files takes."""

_DEVICES = """
import json, pathlib, sys, tempfile
import tensorflow as tf

gpus = tf.config.list_physical_devices("GPU")
details = tf.config.experimental.get_device_details
names = [details(gpu).get("device_name", gpu.name) for gpu in gpus]
seen = None
if sys.argv[1] == "thorough":
    step = tf.function(lambda x: tf.linalg.matmul(x, x))
    x = tf.ones([256, 256])
    step(x).numpy()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        step(x).numpy()
        tf.profiler.experimental.stop()
        content = b"".join(f.read_bytes() for f in pathlib.Path(folder).rglob("*.xplane.pb"))
    # Kernels stand in lines named after their stream; without permission CUPTI records none.
    seen = "kernels" if b"Stream #" in content else "host" if b"MatMul" in content else "nothing"
print(json.dumps({"gpus": names, "profile": seen}))
"""

_RAY = """
import sys
import ray

if sys.argv[1] == "thorough":
    from frostline.schedule.ray.cluster import start_embedded, stop

    start_embedded()
    ray.get(ray.remote(lambda: None).remote(), timeout=90)
    stop()
print("true")
"""


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
    """The child process failed; `error` is its last word."""

    error: str


def ask_tensorflow(*, thorough: bool) -> Devices | NoAnswer:
    """The devices that TensorFlow sees; thorough: and what a profile on them holds."""
    answer = _ask(_DEVICES, thorough=thorough)
    return answer if isinstance(answer, NoAnswer) else _DEVICES_ADAPTER.validate_json(answer)


def ask_ray(*, thorough: bool) -> NoAnswer | None:
    """None when Ray can be imported; thorough: when an embedded Ray runs a task."""
    answer = _ask(_RAY, thorough=thorough)
    return answer if isinstance(answer, NoAnswer) else None


def _ask(program: str, *, thorough: bool) -> str | NoAnswer:
    """Run the program in a child process; the last line of its output."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, "thorough" if thorough else "quick"],
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
